#include "quant/matmul.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "quant/dense_matmul.h"

namespace larder::quant {
namespace {

// Activations that pass over a few panels in turn stay in L2 (1 MiB and more on what this is for).
constexpr size_t kTokenBlockBytes = 256 << 10;
constexpr size_t kTokenPanelBytes = 2 << 20;
constexpr int32_t kMaxDenseTokens = 128;  // beyond, dequantising is below 5 % of the products

size_t panel_stride(const KernelSet& kernels, Format format, int32_t n_cols) noexcept {
  return kernels.matmul[static_cast<int>(format)]->panel_bytes(n_cols);
}

WeightRows weight_rows(const Matrix& matrix, int32_t first, int32_t end) noexcept {
  const size_t stride = row_bytes(matrix.format, matrix.n_cols);
  return {matrix.data + static_cast<size_t>(first) * stride, stride, end - first, matrix.n_cols};
}

OutputRows output_at(const OutputRows& out, int32_t token, int32_t row) noexcept {
  return {out.data + static_cast<size_t>(token) * out.stride + row, out.stride};
}

}  // namespace

WeightRows packed_rows(const MatmulJob& job, const MatmulPart& part) noexcept {
  if (part.end_token - part.first_token < kGemmTokens) return {};
  return weight_rows(job.weights, part.first_row, part.end_row);
}

void multiply_integer(const KernelSet& kernels, const MatmulJob& job, const MatmulPart& part,
                      const MemoryHints& hints, std::byte* scratch) noexcept {
  const Matrix& matrix = job.weights;
  const MatmulKernels& matmul = *kernels.matmul[static_cast<int>(matrix.format)];
  const int32_t n_tokens = part.end_token - part.first_token;
  if (n_tokens < kGemmTokens) {
    matmul.gemv(weight_rows(matrix, part.first_row, part.end_row),
                {job.x.rows + part.first_token, n_tokens},
                output_at(job.out, part.first_token, part.first_row));
    return;
  }
  const size_t stride = panel_stride(kernels, matrix.format, matrix.n_cols);
  const int32_t n_panels = (part.end_row - part.first_row + kPanelRows - 1) / kPanelRows;
  assert(n_panels <= kMaxPanels);
  for (int32_t p = 0; p < n_panels; ++p) {
    const int32_t first = part.first_row + p * kPanelRows;
    matmul.pack(weight_rows(matrix, first, std::min(first + kPanelRows, part.end_row)),
                scratch + static_cast<size_t>(p) * stride);
  }
  const size_t token_bytes =
      activation_row_bytes(activation_for(matrix.format, Arithmetic::integer), matrix.n_cols);
  const auto step = static_cast<int32_t>(std::max<size_t>(64, kTokenBlockBytes / token_bytes));
  MemoryHints now = hints;
  for (int32_t t = part.first_token; t < part.end_token; t += step) {
    matmul.gemm(scratch, weight_rows(matrix, part.first_row, part.end_row),
                {job.x.rows + t, std::min(step, part.end_token - t)},
                output_at(job.out, t, part.first_row), now);
    now.next = {};
  }
}

size_t integer_scratch_bytes(const KernelSet& kernels, Format format, int32_t n_cols) noexcept {
  return kMaxPanels * panel_stride(kernels, format, n_cols);
}

void multiply_float(const KernelSet& kernels, const MatmulJob& job, const MatmulPart& part,
                    std::byte* scratch) noexcept {
  const Matrix& matrix = job.weights;
  const ActivationRows x{job.x.rows + part.first_token, part.end_token - part.first_token};
  if (x.n_tokens < kGemmTokens) {
    kernels.vector.gemv_float(matrix.format, weight_rows(matrix, part.first_row, part.end_row), x,
                              output_at(job.out, part.first_token, part.first_row));
    return;
  }
  const size_t stride = dense_row_stride(matrix.n_cols);
  float* const panel = reinterpret_cast<float*>(scratch);
  for (int32_t first = part.first_row; first < part.end_row; first += kPanelRows) {
    const WeightRows rows = weight_rows(matrix, first, std::min(first + kPanelRows, part.end_row));
    for (int32_t r = 0; r < rows.n_rows; ++r) {
      kernels.vector.dequantize(matrix.format, rows.data + static_cast<size_t>(r) * rows.row_bytes,
                                matrix.n_cols, panel + static_cast<size_t>(r) * stride);
    }
    kernels.vector.gemm_f32({reinterpret_cast<const uint8_t*>(panel), stride * sizeof(float),
                             rows.n_rows, matrix.n_cols},
                            x, output_at(job.out, part.first_token, first));
  }
}

size_t float_scratch_bytes(int32_t n_cols) noexcept {
  return kPanelRows * dense_row_stride(n_cols) * sizeof(float);
}

int32_t ExactMultiplier::max_tokens(int32_t n_cols) noexcept {
  const size_t tile_bytes = sizeof(float) * kDenseTokens * static_cast<size_t>(n_cols);
  const auto n_tiles = static_cast<int32_t>(kTokenPanelBytes / std::max<size_t>(tile_bytes, 1));
  return std::clamp(n_tiles * kDenseTokens, kDenseTokens, kMaxDenseTokens);
}

ExactMultiplier::Layout::Layout(int32_t n_cols) noexcept {
  weights = 0;
  tokens = weights + kDenseRows * dense_row_stride(n_cols);
  out = tokens + static_cast<size_t>(max_tokens(n_cols)) * static_cast<size_t>(n_cols);
  end = out + kDenseRows * kDenseTokens;
}

size_t ExactMultiplier::scratch_bytes(int32_t n_cols) noexcept {
  return Layout(n_cols).end * sizeof(float);
}

// Tokens become tiles [n_cols][kDenseTokens], missing ones zeros.
void ExactMultiplier::pack_tokens(const MatmulJob& job, const MatmulPart& part,
                                  float* out) noexcept {
  if (packed_job_ == &job && packed_token_ == part.first_token) return;
  packed_job_ = &job;
  packed_token_ = part.first_token;
  const auto n_cols = static_cast<size_t>(job.weights.n_cols);
  for (int32_t t = part.first_token; t < part.end_token; t += kDenseTokens) {
    const int32_t n = std::min(kDenseTokens, part.end_token - t);
    const float* rows[kDenseTokens] = {};
    for (int32_t i = 0; i < n; ++i) rows[i] = static_cast<const float*>(job.x.rows[t + i]);
    if (n < kDenseTokens) std::memset(out, 0, sizeof(float) * n_cols * kDenseTokens);
    for (size_t k = 0; k < n_cols; ++k) {
      for (int32_t i = 0; i < n; ++i) out[k * kDenseTokens + static_cast<size_t>(i)] = rows[i][k];
    }
    out += n_cols * kDenseTokens;
  }
}

void ExactMultiplier::multiply(const MatmulJob& job, const MatmulPart& part) noexcept {
  const Matrix& matrix = job.weights;
  const int32_t n_rows = part.end_row - part.first_row;
  assert(n_rows <= kDenseRows);
  assert(part.end_token - part.first_token <= max_tokens(matrix.n_cols));
  float* const scratch = reinterpret_cast<float*>(scratch_);
  const Layout layout(matrix.n_cols);
  pack_tokens(job, part, scratch + layout.tokens);

  const WeightRows rows = weight_rows(matrix, part.first_row, part.end_row);
  const size_t stride = dense_row_stride(matrix.n_cols);
  float* const weights = scratch + layout.weights;
  for (int32_t r = 0; r < n_rows; ++r) {
    kernels_.vector.dequantize(matrix.format, rows.data + static_cast<size_t>(r) * rows.row_bytes,
                               matrix.n_cols, weights + static_cast<size_t>(r) * stride);
  }
  std::fill(weights + static_cast<size_t>(n_rows) * stride, weights + kDenseRows * stride, 0.0f);

  float* const out = scratch + layout.out;
  const float* tokens = scratch + layout.tokens;
  for (int32_t t = part.first_token; t < part.end_token; t += kDenseTokens) {
    multiply_dense_tile(weights, tokens, matrix.n_cols, out);
    tokens += static_cast<size_t>(matrix.n_cols) * kDenseTokens;
    const OutputRows to = output_at(job.out, t, part.first_row);
    for (int32_t i = 0; i < std::min(kDenseTokens, part.end_token - t); ++i) {
      for (int32_t r = 0; r < n_rows; ++r) {
        to.data[static_cast<size_t>(i) * to.stride + static_cast<size_t>(r)] =
            out[r * kDenseTokens + i];
      }
    }
  }
}

}  // namespace larder::quant
