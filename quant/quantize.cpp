#include "quant/quantize.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>

namespace larder::quant {
namespace {

// Weights that a thread takes at once: 64 KiB of floats, which stay in its cache.
constexpr int64_t kWeightsPerItem = 16384;

// Half between the largest float16 and the number behind it, which rounds to infinity.
constexpr float kFloat16Limit = 65520.0f;

int64_t first_unfit(const float* x, int64_t n, Format to) {
  const float limit = to == Format::f16 ? kFloat16Limit : INFINITY;
  for (int64_t i = 0; i < n; ++i) {
    if (!(std::fabs(x[i]) < limit)) return i;  // NaN, too
  }
  return -1;
}

void keep_least(std::atomic<int64_t>& least, int64_t value) noexcept {
  int64_t seen = least;
  while (value < seen && !least.compare_exchange_weak(seen, value)) {
  }
}

}  // namespace

Requantizer::Requantizer(const KernelSet& kernels, Parallel& parallel, int64_t most_cols)
    : kernels_(kernels),
      parallel_(parallel),
      floats_per_thread_(std::max(most_cols, kWeightsPerItem)),
      floats_(static_cast<size_t>(floats_per_thread_ * parallel.n_threads())) {}

int64_t Requantizer::run_range(const RequantizeRows& rows, int64_t first, int64_t n,
                               float* floats) noexcept {
  const size_t from_bytes = row_bytes(rows.from, rows.n_cols);
  for (int64_t r = 0; r < n; ++r) {
    kernels_.vector.dequantize(rows.from, rows.rows + static_cast<size_t>(first + r) * from_bytes,
                               rows.n_cols, floats + r * rows.n_cols);
  }
  const int64_t n_weights = n * rows.n_cols;
  if (rows.to == Format::f16 || !kernels_.vector.all_finite(floats, n_weights)) {
    const int64_t unfit = first_unfit(floats, n_weights, rows.to);
    if (unfit >= 0) return first * rows.n_cols + unfit;
  }
  if (rows.out != nullptr) {
    uint8_t* const out = rows.out + static_cast<size_t>(first) * row_bytes(rows.to, rows.n_cols);
    kernels_.vector.quantize(rows.to, {floats, n, rows.n_cols, rows.importance, out});
  }
  return -1;
}

int64_t Requantizer::run(const RequantizeRows& rows) noexcept {
  assert(rows.n_cols > 0 && rows.n_cols <= floats_per_thread_);
  const int64_t per_item = std::max<int64_t>(1, kWeightsPerItem / rows.n_cols);
  const int64_t n_items = (rows.n_rows + per_item - 1) / per_item;
  // What is only checked takes less time than the disk, and than the others' waiting for more.
  if (rows.out == nullptr) {
    for (int64_t first = 0; first < rows.n_rows; first += per_item) {
      const int64_t n = std::min(per_item, rows.n_rows - first);
      const int64_t unfit = run_range(rows, first, n, floats_.data());
      if (unfit >= 0) return unfit;
    }
    return -1;
  }
  std::atomic<int64_t> least_unfit = INT64_MAX;
  parallel_.run([&](Team& team) {
    float* const floats = floats_.data() + team.thread() * floats_per_thread_;
    team.for_each(n_items, [&](int64_t item) {
      const int64_t first = item * per_item, n = std::min(per_item, rows.n_rows - first);
      const int64_t unfit = run_range(rows, first, n, floats);
      if (unfit >= 0) keep_least(least_unfit, unfit);
    });
  });
  return least_unfit == INT64_MAX ? -1 : least_unfit.load();
}

}  // namespace larder::quant
