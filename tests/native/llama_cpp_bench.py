"""How fast llama.cpp reads and writes here: one JSON line, for `cargo xtask bench native`.

    python tests/native/llama_cpp_bench.py MODEL.gguf --prompt-tokens 256 --tokens 64 --threads 2
"""

import argparse
import ctypes
import json
import time

import llama_cpp

# Which token is read does not matter for the time, as long as they differ.
STRIDE = 37


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = llama_cpp.Llama(
        arguments.model,
        n_ctx=arguments.prompt_tokens + arguments.tokens,
        n_batch=arguments.prompt_tokens,
        n_ubatch=arguments.prompt_tokens,
        n_threads=arguments.threads,
        n_threads_batch=arguments.threads,
        verbose=False,
    )
    prompt = [100 + index * STRIDE % 1000 for index in range(arguments.prompt_tokens)]

    def step(tokens):
        array = (ctypes.c_int * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(array, len(tokens))
        if llama_cpp.llama_decode(model.ctx, batch) != 0:
            raise RuntimeError("llama.cpp could not run a step")
        # Waits for the logits.
        llama_cpp.llama_get_logits(model.ctx)

    def round_of(tokens):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(model.ctx), True)
        started = time.perf_counter()
        step(prompt)
        read = time.perf_counter()
        for index in range(tokens - 1):
            step([100 + index * STRIDE % 1000])
        return len(prompt) / (read - started), (tokens - 1) / (time.perf_counter() - read)

    round_of(8)
    prefill, decode = round_of(arguments.tokens)
    print(json.dumps({"prefill": prefill, "decode": decode}))


main()
