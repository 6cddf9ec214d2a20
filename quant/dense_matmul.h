// Float32 weights times float32 activations through oneDNN.
//
// oneDNN chooses its kernels, and with them the order of sums, by the shape it is called with. So
// it is only ever called with tiles of one shape, padded with zeros: then the bits of a result
// depend on its weights and activations alone, neither on its place in the tile nor on what else
// is in it. quant_dense_matmul_test proves that on the machine at hand.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder::quant {

// Measured over shapes from 1 x 16 to 64 x 128 with oneDNN 2.6.3 on Zen 5, one thread, 2048
// columns: 220 Gflop/s with AVX-512 (85 % of the best shape, which has twice the tokens and would
// halve the speed at one token) and 129 with AVX2.
inline constexpr int kDenseTokens = 16;
inline constexpr int kDenseRows = 64;

// Floats from one row of a weight tile to the next. Not n_cols: rows a power of two apart share
// cache sets, which costs half the speed with AVX2.
constexpr size_t dense_row_stride(int32_t n_cols) noexcept {
  return (static_cast<size_t>(n_cols) + 15) / 16 * 16 + 16;
}

// out[r][t] = sum over k of weights[r][k] * x[k][t], shapes [kDenseRows][dense_row_stride],
// [n_cols][kDenseTokens] and [kDenseRows][kDenseTokens], each 64-byte aligned.
// REQUIRES: called inside a region of Parallel, where oneDNN uses one thread.
void multiply_dense_tile(const float* weights, const float* x, int32_t n_cols, float* out) noexcept;

// Makes oneDNN generate its code, which allocates; later calls allocate a few hundred bytes each.
void prepare_dense_tiles() noexcept;

}  // namespace larder::quant
