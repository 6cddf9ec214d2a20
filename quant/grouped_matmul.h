// Many (weight matrix, its token rows) in one go: the matmul of everything, dense layers being the
// case of one job. Chooses between native blocks (few tokens) and packed panels (many); both give
// the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/format.h"
#include "quant/kernel_set.h"
#include "quant/parallel.h"

namespace larder::quant {

// A weight matrix in its native blocks. y[r] = sum over c of W[r][c] * x[c].
struct Matrix {
  const uint8_t* data = nullptr;
  Format format = Format::f32;
  int32_t n_rows = 0, n_cols = 0;
  size_t bytes() const noexcept { return row_bytes(format, n_cols) * static_cast<size_t>(n_rows); }
};

// exact: activations stay float32 and weights are dequantised; integer: activations are rounded to
// the format's ActivationFormat.
enum class Arithmetic : uint8_t { integer, exact };

// The form of activations that a matmul with these weights reads.
ActivationFormat activation_for(Format format, Arithmetic arithmetic) noexcept;

struct MatmulJob {
  Matrix weights;
  ActivationRows x;  // rows in activation_for(weights.format, arithmetic), n_tokens >= 0
  OutputRows out;
};

// Scratch of one thread; sized once for the widest matrix that will be multiplied.
size_t matmul_scratch_bytes(const KernelSet& kernels, Format format, int32_t n_cols,
                            Arithmetic arithmetic) noexcept;

struct MatmulContext {
  const KernelSet* kernels = nullptr;
  Arithmetic arithmetic = Arithmetic::integer;
  std::span<std::byte* const> scratch;  // one 64-byte aligned area per thread of the team
};

// Called by every thread of the team with the same jobs; ends with a barrier.
void grouped_matmul(Team& team, const MatmulContext& context,
                    std::span<const MatmulJob> jobs) noexcept;

// Rounds activation rows x[t] (n_cols floats, stride floats apart) to `format`; row t goes to
// out + t * activation_row_bytes(format, n_cols). For f32 it copies. Ends with a barrier.
void quantize_rows(Team& team, const KernelSet& kernels, ActivationFormat format, const float* x,
                   size_t stride, int32_t n_tokens, int32_t n_cols, uint8_t* out) noexcept;

}  // namespace larder::quant
