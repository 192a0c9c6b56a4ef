"""Asks llama.cpp for the logits of the random models and writes them down beside this script.

    cargo run -p nearside-engine --example random_models -- FOLDER
    python3 -m venv VENV && VENV/bin/pip install llama-cpp-python==0.3.36 gguf numpy
    VENV/bin/python tests/parity/random/make.py FOLDER

Keys and values are kept in 32-bit floats and flash attention is off, so that what differs from exact
arithmetic is only what llama.cpp does to the inputs of a product with quantized or 16-bit weights.
"""

import hashlib
import json
import pathlib
import sys

import gguf
import llama_cpp

COMMAND = "python tests/parity/random/make.py FOLDER"
POSITIONS = [0, 2, 11, 30, 63]
TARGET = pathlib.Path(__file__).parent


def logits(path, tokens, context):
    model = llama_cpp.Llama(
        model_path=str(path),
        n_ctx=context,
        n_batch=len(tokens),
        n_threads=1,
        n_threads_batch=1,
        logits_all=True,
        flash_attn=False,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )
    model.eval(tokens)
    rows = [[round(float(logit), 5) for logit in model.scores[position]] for position in POSITIONS]
    model.close()
    return rows


def record(path):
    fields = gguf.GGUFReader(path).fields
    tokens = [int(token) for token in fields["random.text"].contents()]
    for context in fields["random.contexts"].contents():
        rows = logits(path, tokens, int(context))
        vector = {
            "model": path.stem,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "engine": f"llama.cpp via llama-cpp-python {llama_cpp.__version__}, CPU, flash attention off, F32 cache",
            "command": COMMAND,
            "context": int(context),
            "positions": POSITIONS,
            "logits": rows,
        }
        lines = ",\n".join("    " + json.dumps(row) for row in rows)
        text = json.dumps({**vector, "logits": []}, indent=2).replace("[]", f"[\n{lines}\n  ]")
        target = TARGET / f"{path.stem}.{context}.json"
        target.write_text(text + "\n")
        print(target)


def main():
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.gguf")):
        record(path)


if __name__ == "__main__":
    main()
