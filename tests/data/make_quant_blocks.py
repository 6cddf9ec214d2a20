#!/usr/bin/env python3
"""Writes quant_blocks.bin: random blocks of every tensor type with kernels, and what they mean
according to gguf-py (pip install gguf), which shares no code with the project.

Record: int32 type id, int32 bytes, int32 elements, the bytes, the elements as float32. Little endian.
"""
import pathlib
import struct

import gguf
import numpy as np

# Type: (blocks, offsets of float16 fields).
TYPES = {
    "F32": (64, []), "F16": (64, [0]), "BF16": (64, []),
    "Q4_0": (8, [0]), "Q4_1": (8, [0, 2]), "Q5_0": (8, [0]), "Q5_1": (8, [0, 2]), "Q8_0": (8, [0]),
    "IQ4_NL": (8, [0]), "MXFP4": (8, []),
    "Q2_K": (3, [80, 82]), "Q3_K": (3, [108]), "Q4_K": (3, [0, 2]), "Q5_K": (3, [0, 2]),
    "Q6_K": (3, [208]), "IQ4_XS": (3, [0]),
}


def blocks_of(name, rng):
    count, halves = TYPES[name]
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = rng.normal(size=(count, 1)).astype(np.float16).view(np.uint8)
    if name == "MXFP4":
        blocks[:, 0] = [0, 1, 2, 100, 127, 128, 130, 250]
    if name == "F32":
        blocks = rng.normal(size=(count, 1)).astype(np.float32).view(np.uint8)
    if name == "BF16":
        blocks[:, 1] = blocks[:, 1] & 0xBF  # finite
    return blocks


def main():
    rng = np.random.default_rng(20260801)
    with open(pathlib.Path(__file__).with_name("quant_blocks.bin"), "wb") as out:
        for name in TYPES:
            kind = gguf.GGMLQuantizationType[name]
            data = blocks_of(name, rng)
            values = gguf.quants.dequantize(data, kind).astype(np.float32).ravel()
            out.write(struct.pack("<iii", kind.value, data.size, values.size))
            out.write(data.tobytes())
            out.write(values.tobytes())


if __name__ == "__main__":
    main()
