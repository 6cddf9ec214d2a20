// Blocks of weights side by side: lane j of every vector belongs to block j, so that one search
// over scales runs for 16 blocks, and what a block becomes does not depend on its neighbours.
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

// 16 blocks of n elements. Weights are divided by a power of two, the lane's unit, that makes the
// largest of its group at least 1 and less than 2; a group is what shares a stored scale.
template <int n>
struct alignas(64) WeightLanes {
  float x[n][kLanes];
  float importance[n][kLanes];  // at most 2, at least 2^-10; 1 where none is known
  float unit[kLanes];           // 0 for a group of zeros
};

// 2^e <= x < 2^(e + 1), or 0 where a float16 could not tell from 0 what is left of x.
[[gnu::always_inline]] inline float power_of_two_below(float x) {
  if (!(x >= 0x1p-100f)) return 0.0f;
  const uint32_t exponent = __builtin_bit_cast(uint32_t, x) & 0x7f800000u;
  return __builtin_bit_cast(float, exponent < 0x7e800000u ? exponent : 0x7e800000u);
}

template <class Isa>
[[gnu::always_inline]] inline float largest_magnitude(const float* x, int n) {
  using Floats = typename Isa::Floats;
  return reduce_max(fold_lanes<Isa>(
      n, Floats::zero(), [](Floats most, Floats a) { return max(most, abs(a)); }, x));
}

template <class Isa, int n>
[[gnu::always_inline]] inline void clear_lane(WeightLanes<n>& lanes, int lane) {
  for (int i = 0; i < n; ++i) {
    lanes.x[i][lane] = 0.0f;
    lanes.importance[i][lane] = 1.0f;
  }
  lanes.unit[lane] = 0.0f;
}

// Columns of little importance still count a little, so that no weight becomes arbitrary.
template <class Isa, int n>
[[gnu::always_inline]] inline void load_importance(WeightLanes<n>& lanes, int lane,
                                                   const float* importance, float inverse) {
  for (int i = 0; i < n; ++i) {
    const float w = importance[i] * inverse;
    lanes.importance[i][lane] = w > 0x1p-10f ? w : 0x1p-10f;
  }
}

// One group of lanes, `first` to first + group - 1.
template <class Isa, int n, int group>
[[gnu::always_inline]] inline void load_group(WeightLanes<n>& lanes, int first, const float* x,
                                              const float* importance) {
  const float unit = power_of_two_below(largest_magnitude<Isa>(x, n * group));
  const float inverse = unit == 0.0f ? 0.0f : 1.0f / unit;
  const float most = importance == nullptr
                         ? 0.0f
                         : power_of_two_below(largest_magnitude<Isa>(importance, n * group));
  for (int g = 0; g < group; ++g) {
    const int lane = first + g;
    for (int i = 0; i < n; ++i) lanes.x[i][lane] = x[g * n + i] * inverse;
    if (most != 0.0f) {
      load_importance<Isa>(lanes, lane, importance + g * n, 1.0f / most);
    } else {
      for (int i = 0; i < n; ++i) lanes.importance[i][lane] = 1.0f;
    }
    lanes.unit[lane] = unit;
  }
}

// The nearest float16 to a lane's value times its unit, too large ones cut off; and back.
template <class Isa>
[[gnu::always_inline]] inline HalfBytes stored_half(float value, float unit) {
  const float x = value * unit;
  const float limited = x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
  uint16_t bits;
  Isa::Floats::broadcast(limited).to_f16_partial(&bits, 1);
  return {static_cast<uint8_t>(bits & 255), static_cast<uint8_t>(bits >> 8)};
}
// The value that a lane has once it was stored.
template <class Isa>
[[gnu::always_inline]] inline float as_stored(float value, float unit) {
  if (unit == 0.0f) return 0.0f;
  return Isa::widen_f16(stored_half<Isa>(value, unit).bits()) / unit;
}

}  // namespace larder::quant
