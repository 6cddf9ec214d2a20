#!/usr/bin/env python3
"""An importance file of larder in llama.cpp's hands: gguf-py reads it, llama.cpp's quantiser takes it
and makes other bytes of it. Usage: llama_imatrix.py IMATRIX.gguf MODEL-F16.gguf
Needs gguf and llama-cpp-python. Ends with 0 if every matrix has its importance, of the right size,
and the error that the importance weighs is smaller with it than without."""
import ctypes
import os
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

SUMS, COUNTS = ".in_sum2", ".counts"


def means(path):
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.type"].contents() == "imatrix"
    for key in ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"):
        assert key in reader.fields, key
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    found = {}
    for name, sums in tensors.items():
        if not name.endswith(SUMS):
            continue
        counts = tensors[name[:-len(SUMS)] + COUNTS]
        assert counts.shape == (sums.shape[0], 1), name
        mean = np.where(counts > 0, sums / np.maximum(counts, 1), 1)
        found[name[:-len(SUMS)]] = np.ascontiguousarray(mean, np.float32)
    return found


def quantize(model, out, importance):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
    params.pure = True
    entries = [llama_cpp.llama_model_imatrix_data(
        name.encode(), mean.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), mean.size)
        for name, mean in importance.items()]
    array = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))(*entries)
    if entries:  # ended by an entry without a name
        params.imatrix = array
    code = llama_cpp.llama_model_quantize(model.encode(), out.encode(), ctypes.byref(params))
    assert code == 0, code


def weights(path):
    return {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            for tensor in gguf.GGUFReader(path).tensors}


def weighed_error(original, path, importance):
    error = 0.0
    for name, rounded in weights(path).items():
        if name not in importance or not name.startswith("blk."):
            continue
        difference = (rounded.astype(np.float64) - original[name]) ** 2
        of_matrix = importance[name]
        if difference.ndim == 2:
            error += (difference * of_matrix[0]).sum() / of_matrix.sum()
        else:
            error += (difference * of_matrix[:, None, :]).sum() / of_matrix.sum()
    return error


def main():
    importance, original = means(sys.argv[1]), weights(sys.argv[2])
    for name, mean in importance.items():
        shape = original[name].shape
        assert mean.shape == (shape[0] if len(shape) == 3 else 1, shape[-1]), name
    with tempfile.TemporaryDirectory() as folder:
        plain, weighed = os.path.join(folder, "plain"), os.path.join(folder, "weighed")
        quantize(sys.argv[2], plain, {})
        quantize(sys.argv[2], weighed, importance)
        errors = [weighed_error(original, path, importance) for path in (plain, weighed)]
    print(f"{len(importance)} tensors; weighed error {errors[0]:.6g} without, {errors[1]:.6g} with")
    sys.exit(0 if errors[1] < errors[0] else 1)


main()
