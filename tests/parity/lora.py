"""Writes a seeded random LoRA adapter for SmolLM2 and records the model's answers with it as llama.cpp gives them, for
crates/cpu/tests/adapters.rs, which makes the same adapter from the same numbers.

    pip install llama-cpp-python==0.3.36 gguf==0.19.0
    python tests/parity/lora.py SmolLM2-135M-Instruct.Q4_1.gguf > tests/parity/smollm2-135m.lora.json
"""

import json
import os
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

RANK = 8
ALPHA = 16.0
LAYERS = 30
# Name, columns, rows: the matrices that are changed, and how large they are.
CHANGED = [("attn_q", 576, 576), ("attn_v", 576, 192), ("ffn_down", 1536, 576)]
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Water boils at",
    "Once upon a time, in a small village by the sea, there lived",
]
MASK = (1 << 64) - 1


def numbers(name, count):
    """Numbers between -0.5 and 0.5 that depend on the name only."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x0100000001B3) & MASK
    values = np.empty(count, dtype=np.float32)
    for index in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        values[index] = np.float32(state >> 40) / np.float32(1 << 24) - np.float32(0.5)
    return values


def write(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for layer in range(LAYERS):
        for part, columns, rows in CHANGED:
            name = f"blk.{layer}.{part}.weight"
            down = numbers(name + ".lora_a", RANK * columns).reshape(RANK, columns)
            up = numbers(name + ".lora_b", rows * RANK).reshape(rows, RANK) * np.float32(0.05)
            writer.add_tensor(name + ".lora_a", down)
            writer.add_tensor(name + ".lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def log_probabilities(model):
    logits = np.array(model.scores[model.n_tokens - 1], dtype=np.float64)
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def answers(path, adapter, scale):
    model = llama_cpp.Llama(
        path, n_ctx=512, n_threads=1, logits_all=True, verbose=False, lora_path=adapter, lora_scale=scale
    )
    result = []
    for prompt in PROMPTS:
        ids = model.tokenize(prompt.encode(), add_bos=True, special=False)
        model.reset()
        model.eval(ids)
        known = log_probabilities(model)
        best = np.argsort(-known)[:10]
        greedy, margins = [], []
        for _ in range(16):
            known_now = log_probabilities(model)
            first, second = np.argsort(-known_now)[:2]
            greedy.append(int(first))
            margins.append(round(float(known_now[first] - known_now[second]), 4))
            model.eval([int(first)])
        result.append(
            {
                "prompt": prompt,
                "ids": ids,
                "next_top10": [[int(token), round(float(known[token]), 5)] for token in best],
                "greedy": greedy,
                "greedy_margin": margins,
            }
        )
    return result


def main():
    path = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        adapter = os.path.join(folder, "adapter.gguf")
        write(adapter)
        scales = [{"scale": scale, "prompts": answers(path, adapter, scale)} for scale in (1.0, 0.5)]
    engine = f"llama.cpp through llama-cpp-python {llama_cpp.__version__}"
    json.dump({"model": path.rsplit("/", 1)[-1], "engine": engine, "scales": scales}, sys.stdout)
    print()


main()
