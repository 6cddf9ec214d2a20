#include "runtime/forward/position_bias.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>

namespace larder::runtime {

// Source: Hugging Face, T5Attention._relative_position_bucket. The logarithm in float32 is part of
// the definition: where it meets a whole number, double would choose another bucket.
int32_t relative_bucket(const RelativePositions& relative, int32_t distance,
                        bool sees_ahead) noexcept {
  const int32_t n = sees_ahead ? relative.n_buckets / 2 : relative.n_buckets;
  const int32_t base = sees_ahead && distance > 0 ? n : 0;
  const int32_t away = sees_ahead ? std::abs(distance) : std::max(-distance, 0);
  const int32_t n_exact = n / 2;
  if (away < n_exact) return base + away;
  const auto exact = static_cast<double>(n_exact);
  const auto whole = static_cast<float>(std::log(relative.max_distance / exact));
  const float part = std::log(static_cast<float>(away) / static_cast<float>(n_exact)) / whole;
  const auto further = static_cast<int64_t>(part * static_cast<float>(n - n_exact));
  return base + static_cast<int32_t>(std::min<int64_t>(n - 1, n_exact + further));
}

void PositionBias::lay_out(Arena& arena, int32_t n_heads, int32_t max_positions,
                           bool sees_ahead) noexcept {
  n_heads_ = n_heads;
  max_positions_ = max_positions;
  sees_ahead_ = sees_ahead;
  const auto n = static_cast<size_t>(max_positions);
  stride_ = sees_ahead ? 2 * n - 1 : n;
  biases_ = arena.take<float>(static_cast<size_t>(n_heads) * stride_);
}

void PositionBias::cover(const RelativePositions& relative, const float* table,
                         int32_t n_positions) noexcept {
  assert(n_positions <= max_positions_);
  const auto fill = [&](int32_t distance) {
    const float* from =
        table + int64_t{relative_bucket(relative, distance, sees_ahead_)} * n_heads_;
    float* to = biases_ + (max_positions_ - 1 + distance);
    for (int32_t h = 0; h < n_heads_; ++h) to[static_cast<size_t>(h) * stride_] = from[h];
  };
  for (; n_covered_ < n_positions; ++n_covered_) {
    fill(-n_covered_);
    if (sees_ahead_) fill(n_covered_);
  }
}

}  // namespace larder::runtime
