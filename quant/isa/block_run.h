// From weights to lanes, and from lanes to what blocks store.
#pragma once

#include "quant/isa/levels.h"
#include "quant/isa/weight_lanes.h"

namespace larder::quant {

// Some blocks, at most 16 * 32 / n of them: where they lie, and the importances of their columns.
template <class Block>
struct BlockRun {
  const float* x;
  const float* importance[kLanes];  // of each block's first column, or null
  int count;
  Block* out;
};

// Codes of a lane's quants, as they are packed.
template <int n>
struct alignas(64) CodeLanes {
  uint8_t code[n][kLanes];
};

template <int n>
[[gnu::always_inline]] inline void copy_lane(const CodeLanes<n>& codes, int lane, uint8_t* out) {
  for (int i = 0; i < n; ++i) out[i] = codes.code[i][lane];
}

template <class Isa, int n, int group, class Block>
[[gnu::always_inline]] inline void load_run(WeightLanes<n>& lanes, const BlockRun<Block>& run) {
  for (int b = 0; b < run.count; ++b) {
    load_group<Isa, n, group>(lanes, b * group, run.x + b * n * group, run.importance[b]);
  }
  for (int lane = run.count * group; lane < kLanes; ++lane) clear_lane<Isa>(lanes, lane);
}

// Of each lane, as_stored() of a value.
template <class Isa, int n>
[[gnu::always_inline]] inline typename Isa::Floats stored_lanes(const WeightLanes<n>& lanes,
                                                                typename Isa::Floats values) {
  float value[kLanes];
  values.store(value);
  for (int j = 0; j < kLanes; ++j) value[j] = as_stored<Isa>(value[j], lanes.unit[j]);
  return Isa::Floats::load(value);
}

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats inverse_or_zero(typename Isa::Floats x) {
  using Floats = typename Isa::Floats;
  const auto is_zero = equal(x, Floats::zero());
  return select(is_zero, Floats::zero(),
                Floats::broadcast(1.0f) / select(is_zero, Floats::broadcast(1.0f), x));
}

// Codes nearest to (x + offset) / step.
template <class Isa, class Levels, int n>
[[gnu::always_inline]] inline void round_to_codes(const WeightLanes<n>& lanes,
                                                  typename Isa::Floats step,
                                                  typename Isa::Floats offset,
                                                  CodeLanes<n>& codes) {
  using Floats = typename Isa::Floats;
  const Floats inverse = inverse_or_zero<Isa>(step), base = offset * inverse;
  for (int i = 0; i < n; ++i) {
    int8_t level[kLanes];
    round_to_int(Levels::template nearest<Isa>(fma(Floats::load(lanes.x[i]), inverse, base)))
        .store_int8(level);
    for (int j = 0; j < kLanes; ++j) codes.code[i][j] = Levels::code(level[j]);
  }
}

// Error of x rounded to step * level.
template <class Isa, class Levels, int n>
[[gnu::always_inline]] inline typename Isa::Floats rounding_error(const WeightLanes<n>& lanes,
                                                                  typename Isa::Floats step) {
  using Floats = typename Isa::Floats;
  const Floats inverse = inverse_or_zero<Isa>(step);
  Floats error = Floats::zero();
  for (int i = 0; i < n; ++i) {
    const Floats x = Floats::load(lanes.x[i]);
    const Floats left = fma(-step, Levels::template nearest<Isa>(x * inverse), x);
    error = fma(Floats::load(lanes.importance[i]) * left, left, error);
  }
  return error;
}

}  // namespace larder::quant
