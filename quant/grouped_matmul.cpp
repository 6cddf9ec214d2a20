#include "quant/grouped_matmul.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "quant/dense_matmul.h"
#include "quant/matmul.h"

namespace larder::quant {
namespace {

// A part that reads native blocks streams at least this much, long beside the 0.1 us that claiming
// it costs, and at most that, short beside a layer. In between, the longer the better. Measured on
// Zen 5, two threads, with Qwen3-30B-A3B's shapes in Q4_K_M: 38 tokens a second with 64 KiB, 52 to
// 65 with 256 KiB, 57 to 79 with 1 MiB; why was not profiled.
constexpr size_t kMinStreamedBytes = 64 << 10;
constexpr size_t kMaxStreamedBytes = 1 << 20;
// Results of one call beyond this are gone from a core's L2 when they are read.
constexpr size_t kCachedResultBytes = 4 << 20;
// Parts a thread should find at least, so that the last ones end together.
constexpr int64_t kPartsPerThread = 8;

// How a job is cut: into parts of `rows` x `tokens`, rows fastest.
struct Grain {
  int32_t rows = 0, tokens = 0;
  int64_t n_row_parts = 0, n_parts = 0;
};

// Cuts jobs alike on every thread. Cuts change the speed only, never a bit of the result.
class Cutter {
 public:
  Cutter(const MatmulContext& context, std::span<const MatmulJob> jobs, int n_threads) noexcept
      : arithmetic_(context.arithmetic) {
    int64_t n_panels = 0;
    size_t n_bytes = 0;
    for (const MatmulJob& job : jobs) {
      if (job.x.n_tokens >= kGemmTokens) {
        n_panels += job.weights.n_rows / kPanelRows + 1;
      } else if (job.x.n_tokens > 0) {
        n_bytes += job.weights.bytes();
      }
    }
    streamed_bytes_ = std::clamp(n_bytes / static_cast<size_t>(kPartsPerThread * n_threads),
                                 kMinStreamedBytes, kMaxStreamedBytes);
    // An even number: some kernels multiply two panels at a time.
    panels_ = 2 * static_cast<int32_t>(std::clamp<int64_t>(
                      n_panels / (2 * kPartsPerThread * n_threads), 1, kMaxPanels / 2));
  }

  Grain cut(const MatmulJob& job) const noexcept {
    const Matrix& matrix = job.weights;
    Grain grain;
    if (job.x.n_tokens <= 0 || matrix.n_rows <= 0) return grain;
    grain.tokens = job.x.n_tokens;
    if (arithmetic_ == Arithmetic::exact) {
      grain.rows = kDenseRows;
      grain.tokens = ExactMultiplier::max_tokens(matrix.n_cols);
    } else if (job.x.n_tokens >= kGemmTokens) {
      grain.rows = panels_ * kPanelRows;
    } else {
      const size_t panel_bytes = kPanelRows * row_bytes(matrix.format, matrix.n_cols);
      grain.rows = kPanelRows *
                   static_cast<int32_t>(std::max<size_t>(1, streamed_bytes_ / (panel_bytes + 1)));
    }
    grain.n_row_parts = (matrix.n_rows + grain.rows - 1) / grain.rows;
    grain.n_parts = grain.n_row_parts * ((job.x.n_tokens + grain.tokens - 1) / grain.tokens);
    return grain;
  }

 private:
  Arithmetic arithmetic_;
  int32_t panels_;         // of a packed part
  size_t streamed_bytes_;  // of a part of native blocks
};

// Finds the job of a part. A thread claims parts in ascending order, so this walks once over jobs.
class Cursor {
 public:
  Cursor(const Cutter& cutter, std::span<const MatmulJob> jobs) noexcept
      : cutter_(cutter), jobs_(jobs) {}

  struct Found {
    const MatmulJob& job;
    MatmulPart part;
  };
  // REQUIRES: ascending, below the sum of n_parts.
  Found find(int64_t index) noexcept {
    while (index >= end_) {
      grain_ = cutter_.cut(jobs_[next_++]);
      begin_ = end_;
      end_ += grain_.n_parts;
    }
    const MatmulJob& job = jobs_[next_ - 1];
    const auto row = static_cast<int32_t>((index - begin_) % grain_.n_row_parts) * grain_.rows;
    const auto token = static_cast<int32_t>((index - begin_) / grain_.n_row_parts) * grain_.tokens;
    return {job,
            {row, std::min(row + grain_.rows, job.weights.n_rows), token,
             std::min(token + grain_.tokens, job.x.n_tokens)}};
  }

 private:
  const Cutter& cutter_;
  std::span<const MatmulJob> jobs_;
  Grain grain_;
  size_t next_ = 0;
  int64_t begin_ = 0, end_ = 0;
};

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
  const Cutter cutter(context, jobs, team.n_threads());
  int64_t n_parts = 0;
  size_t n_results = 0;
  for (const MatmulJob& job : jobs) {
    n_parts += cutter.cut(job).n_parts;
    n_results += static_cast<size_t>(job.weights.n_rows) * static_cast<size_t>(job.x.n_tokens);
  }
  MemoryHints hints;
  hints.skips_caches = n_results * sizeof(float) > kCachedResultBytes;
  Cursor cursor(cutter, jobs), ahead(cutter, jobs);
  std::byte* const scratch = context.scratch[static_cast<size_t>(team.thread())];
  ExactMultiplier exact(*context.kernels, scratch);
  team.for_each_ahead(n_parts, [&](int64_t i, int64_t next) {
    const auto [job, part] = cursor.find(i);
    if (context.arithmetic == Arithmetic::exact) {
      exact.multiply(job, part);
    } else if (activation_for(job.weights.format, context.arithmetic) == ActivationFormat::f32) {
      multiply_float(*context.kernels, job, part, scratch);
    } else {
      hints.next = {};
      if (next < n_parts) {
        const auto [next_job, next_part] = ahead.find(next);
        hints.next = packed_rows(next_job, next_part);
      }
      multiply_integer(*context.kernels, job, part, hints, scratch);
    }
  });
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
