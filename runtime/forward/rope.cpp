#include "runtime/forward/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace larder::runtime {
namespace {

// The pair whose wave makes `rotations` turns over the original context.
double pair_of(double rotations, const RopeConfig& config) {
  const double turn = 2 * std::numbers::pi * rotations;
  return config.n_rot * std::log(config.original_context / turn) / (2 * std::log(config.base));
}

// YaRN's ramp: how much of pair i keeps its unstretched angle. Source: YaRN (arXiv 2309.00071).
class YarnRamp {
 public:
  explicit YarnRamp(const RopeConfig& config) {
    low_ = pair_of(config.beta_fast, config);
    high_ = pair_of(config.beta_slow, config);
    if (config.rounds_yarn_bounds) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, config.n_rot - 1.0);
  }
  double unstretched(int32_t pair) const {
    return 1 - std::clamp((pair - low_) / std::max(0.001, high_ - low_), 0.0, 1.0);
  }

 private:
  double low_, high_;
};

}  // namespace

RopeAngles::RopeAngles(const RopeConfig& config, const float* factors)
    : frequencies_(static_cast<size_t>(config.n_rot / 2)), multiplier_(config.multiplier) {
  const bool is_yarn = config.scaling == RopeScaling::yarn;
  const bool stretches = is_yarn || config.scaling == RopeScaling::linear;
  const YarnRamp ramp(config);
  for (int32_t i = 0; i < n_pairs(); ++i) {
    double plain = std::pow(config.base, -2.0 * i / config.n_rot);
    if (factors) plain /= static_cast<double>(factors[i]);
    const double kept = is_yarn ? ramp.unstretched(i) : 0;
    const double stretched = stretches ? plain / config.factor : plain;
    frequencies_[static_cast<size_t>(i)] = stretched * (1 - kept) + plain * kept;
  }
}

void RopeAngles::at(int64_t position, float* cos, float* sin) const noexcept {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies_[i];
    cos[i] = static_cast<float>(std::cos(angle) * multiplier_);
    sin[i] = static_cast<float>(std::sin(angle) * multiplier_);
  }
}

const float* rope_factors(const ModelConfig& config, const ModelWeights& weights,
                          int64_t max_positions) noexcept {
  if (weights.rope_factors_long && weights.rope_factors_short)
    return static_cast<double>(max_positions) > config.rope.original_context
               ? weights.rope_factors_long
               : weights.rope_factors_short;
  return weights.rope_freqs;
}

}  // namespace larder::runtime
