"""Writes a few blocks of every format and what the `gguf` package for Python makes of them.

    python -m venv venv && venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    venv/bin/python tests/parity/dequantize/make.py ~/.cache/nearside/models

Half of the blocks come from the models in that folder, where one of them holds the format; the others are
seeded random bytes whose scales are finite. Each FORMAT.bin is the blocks, then as little-endian f32 the
numbers they hold.
"""

import pathlib
import sys

import gguf
import numpy as np

FLOATS = {"F32": ("<f4", "<u4"), "F16": ("<f2", "<u2"), "BF16": (None, "<u2")}
# Where the half-precision scales of a block stand.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ2_XXS": [0], "IQ4_NL": [0], "IQ4_XS": [0],
}  # fmt: skip


def real_blocks(
    files: list[gguf.GGUFReader], data_type: gguf.GGMLQuantizationType, size: int, count: int
) -> np.ndarray:
    for file in files:
        for tensor in file.tensors:
            if tensor.tensor_type == data_type:
                blocks = np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1, size)
                return blocks[np.linspace(0, len(blocks) - 1, count).astype(np.int64)]
    return np.zeros((0, size), np.uint8)


def random_blocks(name: str, size: int, count: int, random: np.random.Generator) -> np.ndarray:
    if name in FLOATS:
        numbers = random.normal(size=count).astype("<f4")
        if name == "BF16":
            return (numbers.view("<u4") >> 16).astype("<u2").view(np.uint8).reshape(count, size)
        return numbers.astype(FLOATS[name][0]).view(np.uint8).reshape(count, size)
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for place in SCALES[name]:
        scales = (random.normal(size=count) * 0.05).astype("<f2")
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks


def main() -> None:
    models = pathlib.Path(sys.argv[1]).expanduser()
    files = [gguf.GGUFReader(path) for path in sorted(models.glob("*.gguf"))]
    random = np.random.default_rng(20260401)
    for name in [*FLOATS, *SCALES]:
        data_type = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[data_type]
        count = {1: 32, 32: 6, 256: 2}[elements]
        blocks = real_blocks(files, data_type, size, count)
        more = random_blocks(name, size, 2 * count - len(blocks), random)
        blocks = np.concatenate([blocks, more])
        values = gguf.dequantize(blocks, data_type).astype("<f4")
        path = pathlib.Path(__file__).with_name(f"{name.lower()}.bin")
        path.write_bytes(blocks.tobytes() + values.tobytes())
        print(f"{path.name}: {len(blocks) - len(more)} real blocks, {len(more)} random ones")


main()
