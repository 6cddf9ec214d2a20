#include "quant/grouped_matmul.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "quant/dense_matmul.h"
#include "quant/matmul.h"
#include "quant/matmul_cuts.h"

namespace larder::quant {
namespace {

// Results of one call beyond this are gone from a core's L2 when they are read.
constexpr size_t kCachedResultBytes = 4 << 20;

}  // namespace

ActivationFormat activation_for(Format format, Arithmetic arithmetic) noexcept {
  if (arithmetic == Arithmetic::exact) return ActivationFormat::f32;
  return find_format(static_cast<int32_t>(format))->activation;
}

size_t matmul_scratch_bytes(const KernelSet& kernels, Format format, int32_t n_cols,
                            Arithmetic arithmetic) noexcept {
  if (arithmetic == Arithmetic::exact) return ExactMultiplier::scratch_bytes(n_cols);
  if (activation_for(format, arithmetic) == ActivationFormat::f32) {
    return float_scratch_bytes(n_cols);
  }
  return integer_scratch_bytes(kernels, format, n_cols);
}

void grouped_matmul(Team& team, const MatmulContext& context,
                    std::span<const MatmulJob> jobs) noexcept {
  const MatmulCuts cuts(context.arithmetic, jobs, team.n_threads());
  size_t n_results = 0;
  for (const MatmulJob& job : jobs)
    n_results += static_cast<size_t>(job.weights.n_rows) * static_cast<size_t>(job.x.n_tokens);
  MemoryHints hints;
  hints.skips_caches = n_results * sizeof(float) > kCachedResultBytes;
  PartCursor cursor(cuts);
  std::byte* const scratch = context.scratch[static_cast<size_t>(team.thread())];
  ExactMultiplier exact(*context.kernels, scratch);
  const auto multiply = [&](ItemRange parts, int64_t next) {
    while (parts.n() > 0) {
      const auto [job, part] = cursor.take(parts);
      if (context.arithmetic == Arithmetic::exact) {
        exact.multiply(job, part);
      } else if (activation_for(job.weights.format, context.arithmetic) == ActivationFormat::f32) {
        multiply_float(*context.kernels, job, part, scratch);
      } else {
        hints.next = {};
        if (cuts.packs() && next < cuts.n_parts()) {
          const auto [next_job, next_part] = cursor.find(next);
          hints.next = packed_rows(next_job, next_part);
        }
        multiply_integer(*context.kernels, job, part, hints, scratch);
      }
    }
  };
  team.for_each_stretch(
      cuts.n_parts(), cuts.n_at_once(), [&](int thread) { return cuts.first_of(thread); },
      multiply);
}

void quantize_rows(Team& team, const KernelSet& kernels, ActivationFormat format, const float* x,
                   size_t stride, int32_t n_tokens, int32_t n_cols, uint8_t* out) noexcept {
  const size_t out_stride = activation_row_bytes(format, n_cols);
  team.for_each(n_tokens, [&](int64_t t) {
    const float* const from = x + static_cast<size_t>(t) * stride;
    uint8_t* const to = out + static_cast<size_t>(t) * out_stride;
    switch (format) {
      case ActivationFormat::f32:
        std::memcpy(to, from, static_cast<size_t>(n_cols) * sizeof(float));
        break;
      case ActivationFormat::q8_32:
        kernels.vector.quantize_q8_32(from, n_cols, to);
        break;
      case ActivationFormat::q8_256:
        kernels.vector.quantize_q8_256(from, n_cols, to);
        break;
    }
  });
}

}  // namespace larder::quant
