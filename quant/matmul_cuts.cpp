#include "quant/matmul_cuts.h"

#include <algorithm>

#include "quant/dense_matmul.h"

namespace larder::quant {
namespace {

// A part that reads native blocks streams this much. A thread takes some of them at once, fewer
// towards the end: where it stops and goes on, the stream of weights falters. Measured on Zen 5,
// two threads, with Qwen3-30B-A3B's shapes in Q4_K_M, as shares of reading alone: 64 KiB at once
// .81, 256 KiB .83, 1 MiB .85.
constexpr size_t kStreamedBytes = 64 << 10;
constexpr int64_t kStreamedAtOnce = 16;
// Packed parts a thread should find at least, so that the last ones end together.
constexpr int64_t kPartsPerThread = 8;
// Reading and unpacking a weight takes as long as its products with so many tokens. Measured on Zen
// 5, Q4_K: 4 where it is packed, 7 where it is streamed from memory.
constexpr int32_t kTokensOfReading = 6;

bool is_packed(const MatmulJob& job) noexcept { return job.x.n_tokens >= kGemmTokens; }

double cost_of(const MatmulJob& job) noexcept {
  if (job.x.n_tokens <= 0) return 0;
  return static_cast<double>(job.weights.n_rows) * job.weights.n_cols *
         (job.x.n_tokens + kTokensOfReading);
}

}  // namespace

MatmulCuts::MatmulCuts(Arithmetic arithmetic, std::span<const MatmulJob> jobs,
                       int n_threads) noexcept
    : jobs_(jobs), arithmetic_(arithmetic), n_threads_(n_threads) {
  int64_t n_panels = 0;
  for (const MatmulJob& job : jobs)
    if (is_packed(job)) n_panels += job.weights.n_rows / kPanelRows + 1;
  packs_ = n_panels > 0;
  // An even number: some kernels multiply two panels at a time.
  panels_ = 2 * static_cast<int32_t>(std::clamp<int64_t>(
                    n_panels / (2 * kPartsPerThread * n_threads), 1, kMaxPanels / 2));
  for (const MatmulJob& job : jobs) {
    n_parts_ += cut(job).n_parts;
    cost_ += cost_of(job);
  }
}

Grain MatmulCuts::cut(const MatmulJob& job) const noexcept {
  const Matrix& matrix = job.weights;
  Grain grain;
  if (job.x.n_tokens <= 0 || matrix.n_rows <= 0) return grain;
  grain.tokens = job.x.n_tokens;
  if (arithmetic_ == Arithmetic::exact) {
    grain.rows = kDenseRows;
    grain.tokens = ExactMultiplier::max_tokens(matrix.n_cols);
  } else if (is_packed(job)) {
    grain.rows = panels_ * kPanelRows;
  } else {
    const size_t panel_bytes = kPanelRows * row_bytes(matrix.format, matrix.n_cols);
    grain.rows =
        kPanelRows * static_cast<int32_t>(std::max<size_t>(1, kStreamedBytes / (panel_bytes + 1)));
  }
  grain.n_row_parts = (matrix.n_rows + grain.rows - 1) / grain.rows;
  grain.n_parts = grain.n_row_parts * ((job.x.n_tokens + grain.tokens - 1) / grain.tokens);
  return grain;
}

int64_t MatmulCuts::first_of(int thread) const noexcept {
  if (thread == 0) return 0;
  if (thread == n_threads_) return n_parts_;
  const double target = cost_ * thread / n_threads_;
  double cost = 0;
  int64_t n_parts = 0;
  for (const MatmulJob& job : jobs_) {
    const double its_cost = cost_of(job);
    const int64_t n = cut(job).n_parts;
    if (cost + its_cost > target)
      return n_parts + static_cast<int64_t>(static_cast<double>(n) * (target - cost) / its_cost);
    cost += its_cost;
    n_parts += n;
  }
  return n_parts_;
}

int64_t MatmulCuts::n_at_once() const noexcept {
  return arithmetic_ != Arithmetic::exact && !packs_ ? kStreamedAtOnce : 1;
}

bool MatmulCuts::is_streamed(const MatmulJob& job) const noexcept {
  return arithmetic_ != Arithmetic::exact && !is_packed(job);
}

PartCursor::Found PartCursor::find(int64_t index) noexcept {
  if (index < begin_) *this = PartCursor(*cuts_);
  while (index >= end_) {
    grain_ = cuts_->cut(cuts_->jobs()[next_++]);
    begin_ = end_;
    end_ += grain_.n_parts;
  }
  const MatmulJob& job = cuts_->jobs()[next_ - 1];
  const auto row = static_cast<int32_t>((index - begin_) % grain_.n_row_parts) * grain_.rows;
  const auto token = static_cast<int32_t>((index - begin_) / grain_.n_row_parts) * grain_.tokens;
  return {job,
          {row, std::min(row + grain_.rows, job.weights.n_rows), token,
           std::min(token + grain_.tokens, job.x.n_tokens)}};
}

PartCursor::Found PartCursor::take(ItemRange& parts) noexcept {
  Found found = find(parts.first++);
  if (!cuts_->is_streamed(found.job)) return found;
  const int64_t end = std::min(parts.end, end_);
  if (end > parts.first) found.part.end_row = find(end - 1).part.end_row;
  parts.first = end;
  return found;
}

}  // namespace larder::quant
