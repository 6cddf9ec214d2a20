// Rotary position embedding: the angles of a position. Everything is computed in double and rounded
// once, so that a position's angles are its own, whatever stands beside it.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model/model_config.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

class RopeAngles {
 public:
  // factors: [n_rot / 2] divisors of the frequencies, or null. The file's own factors for a context
  // of max_positions are chosen by rope_factors().
  RopeAngles(const RopeConfig& config, const float* factors);

  int32_t n_pairs() const noexcept { return static_cast<int32_t>(frequencies_.size()); }
  // cos, sin: [n_pairs], times the configured multiplier.
  void at(int64_t position, float* cos, float* sin) const noexcept;

 private:
  std::vector<double> frequencies_;  // radians per position
  double multiplier_;
};

// Which factors a session of max_positions uses. LongRoPE's set is chosen once: a change in the
// middle of a sequence would invalidate the keys that are cached already.
const float* rope_factors(const ModelConfig& config, const ModelWeights& weights,
                          int64_t max_positions) noexcept;

}  // namespace larder::runtime
