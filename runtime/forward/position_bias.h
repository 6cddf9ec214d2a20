// What attention adds to a score for the distance between key and query, by a learned table in
// which neighbouring distances share buckets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/model/model_config.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {

// The bucket of a key `distance` places behind its query (negative: before it). Where queries see
// ahead, half of the buckets are for the keys behind them. REQUIRES: n_buckets >= 4.
int32_t relative_bucket(const RelativePositions& relative, int32_t distance,
                        bool sees_ahead) noexcept;

// The biases of one stack's layers, laid out so that those of one query are one run.
class PositionBias {
 public:
  // Room for positions below max_positions.
  void lay_out(Arena& arena, int32_t n_heads, int32_t max_positions, bool sees_ahead) noexcept;
  // Fills in what queries and keys below n_positions need, once. table: [n_buckets][n_heads].
  // REQUIRES: n_positions <= max_positions, always the same table.
  void cover(const RelativePositions& relative, const float* table, int32_t n_positions) noexcept;

  // Element j belongs to the key at j; the next head's are stride() floats on.
  const float* of(int32_t head, int32_t query) const noexcept {
    return biases_ + static_cast<size_t>(head) * stride_ +
           static_cast<size_t>(max_positions_ - 1 - query);
  }
  size_t stride() const noexcept { return stride_; }

 private:
  float* biases_ = nullptr;  // [n_heads][stride]: distances from 1 - max_positions on, ascending
  size_t stride_ = 0;
  int32_t n_heads_ = 0, max_positions_ = 0, n_covered_ = 0;
  bool sees_ahead_ = false;
};

}  // namespace larder::runtime
