"""Records a model's embeddings as llama.cpp computes them, for crates/cpu/tests/embeddings.rs.

    pip install llama-cpp-python==0.3.36
    python tests/parity/embeddings.py MODEL.gguf > tests/parity/NAME.embeddings.json
"""

import json
import sys

import llama_cpp

TEXTS = [
    "A cat sat on the mat.",
    "Die Katze saß auf der Matte, während es draußen regnete.",
    "fn main() { println!(\"{}\", (1..=10).sum::<u32>()); }",
    "The river rises in the hills to the north, turns east below the old mill, and reaches the sea after two "
    "hundred miles. Along its banks people have kept orchards, built boats, and argued about the price of salt.",
]


def embeddings(path, pooling):
    model = llama_cpp.Llama(
        path, n_ctx=512, n_batch=512, n_threads=1, embedding=True, pooling_type=pooling, verbose=False
    )
    result = []
    for text in TEXTS:
        ids = model.tokenize(text.encode(), add_bos=True, special=False)
        vector = model.embed(text, normalize=False)
        result.append((ids, [float(f"{value:.5g}") for value in vector]))
    return result


def main():
    path = sys.argv[1]
    mean = embeddings(path, llama_cpp.LLAMA_POOLING_TYPE_MEAN)
    last = embeddings(path, llama_cpp.LLAMA_POOLING_TYPE_LAST)
    texts = [
        {"text": text, "ids": ids, "mean": mean_vector, "last": last_vector}
        for text, (ids, mean_vector), (_, last_vector) in zip(TEXTS, mean, last)
    ]
    engine = f"llama.cpp through llama-cpp-python {llama_cpp.__version__}"
    json.dump({"model": path.rsplit("/", 1)[-1], "engine": engine, "texts": texts}, sys.stdout, ensure_ascii=False)
    print()


main()
