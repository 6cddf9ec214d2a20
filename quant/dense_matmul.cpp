#include "quant/dense_matmul.h"

#include <dnnl.h>

#include <cmath>
#include <cstring>

#include "quant/parallel.h"

namespace larder::quant {
namespace {

// For the case that oneDNN cannot allocate.
void multiply_plainly(const float* weights, const float* x, int32_t n_cols, float* out) noexcept {
  const size_t stride = dense_row_stride(n_cols);
  std::memset(out, 0, sizeof(float) * kDenseRows * kDenseTokens);
  for (int r = 0; r < kDenseRows; ++r) {
    for (int32_t k = 0; k < n_cols; ++k) {
      const float weight = weights[static_cast<size_t>(r) * stride + static_cast<size_t>(k)];
      for (int t = 0; t < kDenseTokens; ++t) {
        float& sum = out[r * kDenseTokens + t];
        sum = std::fma(weight, x[static_cast<size_t>(k) * kDenseTokens + static_cast<size_t>(t)],
                       sum);
      }
    }
  }
}

}  // namespace

void multiply_dense_tile(const float* weights, const float* x, int32_t n_cols,
                         float* out) noexcept {
  const auto stride = static_cast<dnnl_dim_t>(dense_row_stride(n_cols));
  const dnnl_status_t status = dnnl_sgemm('N', 'N', kDenseRows, kDenseTokens, n_cols, 1.0f, weights,
                                          stride, x, kDenseTokens, 0.0f, out, kDenseTokens);
  if (status != dnnl_success) multiply_plainly(weights, x, n_cols, out);
}

void prepare_dense_tiles() noexcept {
  constexpr int32_t kCols = 16;
  alignas(64) static constexpr float kZeros[kDenseRows * dense_row_stride(kCols)] = {};
  Parallel one(1);
  one.run([](Team&) {
    alignas(64) float out[kDenseRows * kDenseTokens];
    multiply_dense_tile(kZeros, kZeros, kCols, out);
  });
}

}  // namespace larder::quant
