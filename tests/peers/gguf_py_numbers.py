#!/usr/bin/env python3
"""Whether gguf-py reads from larder's files the numbers that larder reads: a model is quantised to every
type, and each file once more to float32; gguf-py dequantises the first.

    gguf_py_numbers.py LARDER MODEL [TYPE ...]

Needs: pip install numpy gguf. A model whose rows are multiples of 256 has every type as it is called.
"""
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

TYPES = ("f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4").split()


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def main():
    larder, model = sys.argv[1:3]
    is_same = True
    for name in sys.argv[3:] or TYPES:
        with tempfile.TemporaryDirectory() as folder:
            small, wide = (str(pathlib.Path(folder) / n) for n in ("small.gguf", "wide.gguf"))
            subprocess.run([larder, "quantize", model, small, "q8_0", "--tensor", f".*={name}", "-q"],
                           check=True, stdout=subprocess.DEVNULL)
            subprocess.run([larder, "quantize", small, wide, "f32", "--allow-requantize", "-q"],
                           check=True, stdout=subprocess.DEVNULL)
            ours, n_tensors, n_weights, farthest = tensors(wide), 0, 0, 0.0
            for tensor in tensors(small).values():
                if tensor.tensor_type.name.lower() != name:
                    continue
                theirs = gguf.dequantize(tensor.data, tensor.tensor_type).ravel()
                off = np.abs(ours[tensor.name].data.ravel().astype(np.float64) - theirs).max()
                n_tensors, n_weights = n_tensors + 1, n_weights + theirs.size
                farthest = max(farthest, float(off) if off == off else float("inf"))
            is_same = is_same and n_tensors > 0 and farthest == 0
            print(f"{name:7} {n_tensors:3} tensors {n_weights:10} weights, farthest {farthest:g}")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
