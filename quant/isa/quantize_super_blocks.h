// Weights to super-blocks of 256: the lanes of one share a scale (and one for minimums) that their
// own integer scales multiply. First each lane gets the step that suits it, then steps become
// integers, then those and the shared scale are improved by turns.
#pragma once

#include "quant/isa/block_run.h"
#include "quant/isa/fit_affine.h"
#include "quant/isa/pack_weights.h"

namespace larder::quant {

template <class Block>
struct SuperBlock;
template <>
struct SuperBlock<BlockQ6_K> {
  using Levels = IntegerLevels<-32, 31>;
  static constexpr TargetRange kRange = {28.0f, 33.0f, 8, true};
  static constexpr int kLane = 16, kLeast = -128, kMost = 127;
};
template <>
struct SuperBlock<BlockQ3_K> {
  using Levels = IntegerLevels<-4, 3>;
  static constexpr TargetRange kRange = {2.5f, 5.0f, 9, true};
  static constexpr int kLane = 16, kLeast = -32, kMost = 31;
};
template <>
struct SuperBlock<BlockIQ4_XS> {
  using Levels = Iq4Levels;
  static constexpr TargetRange kRange = {100.0f, 135.0f, 6, true};
  static constexpr int kLane = 32, kLeast = -32, kMost = 31;
};
template <>
struct SuperBlock<BlockQ4_K> {
  static constexpr TargetRange kRange = {14.5f, 18.5f, 5};
  static constexpr int kLane = 32, kTop = 15, kMost = 63;
};
template <>
struct SuperBlock<BlockQ5_K> {
  static constexpr TargetRange kRange = {30.0f, 36.0f, 5};
  static constexpr int kLane = 32, kTop = 31, kMost = 63;
};
template <>
struct SuperBlock<BlockQ2_K> {
  static constexpr TargetRange kRange = {2.5f, 4.5f, 5};
  static constexpr int kLane = 16, kTop = 3, kMost = 15;
};

template <class Block>
constexpr int kLanesPerBlock = 256 / SuperBlock<Block>::kLane;

// f(group) for every super-block of the lanes; its result goes to all lanes of that.
template <class Isa, int group, class F>
[[gnu::always_inline]] inline typename Isa::Floats per_group(F f) {
  float values[kLanes];
  for (int first = 0; first < kLanes; first += group) {
    const float value = f(first);
    for (int g = 0; g < group; ++g) values[first + g] = value;
  }
  return Isa::Floats::load(values);
}

// Every lane gets its group's sum.
template <class Isa, int group>
[[gnu::always_inline]] inline typename Isa::Floats group_sums(typename Isa::Floats x) {
  float lane[kLanes];
  x.store(lane);
  return per_group<Isa, group>([&](int first) __attribute__((always_inline)) {
    float sum = 0.0f;
    for (int g = 0; g < group; ++g) sum += lane[first + g];
    return sum;
  });
}

// Every lane gets its group's value of largest magnitude.
template <class Isa, int group>
[[gnu::always_inline]] inline typename Isa::Floats group_extremes(typename Isa::Floats x) {
  float lane[kLanes];
  x.store(lane);
  return per_group<Isa, group>([&](int first) __attribute__((always_inline)) {
    float extreme = 0.0f;
    for (int g = 0; g < group; ++g) {
      if (__builtin_fabsf(lane[first + g]) > __builtin_fabsf(extreme)) extreme = lane[first + g];
    }
    return extreme;
  });
}

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats rounded_within(typename Isa::Floats x, int least,
                                                                  int most) {
  using Floats = typename Isa::Floats;
  const Floats limited = min(max(x, Floats::broadcast(static_cast<float>(least))),
                             Floats::broadcast(static_cast<float>(most)));
  return round_lanes<Isa>(limited);
}

template <class Isa>
struct ScaledLanes {
  typename Isa::Floats d;      // as stored, the same in all lanes of a super-block
  typename Isa::Floats scale;  // an integer
  typename Isa::Floats error;
};

// Takes integer scales one lower or higher where that is better.
template <class Isa, class Block, int n>
[[gnu::always_inline]] inline void improve_scales(const WeightLanes<n>& lanes,
                                                  ScaledLanes<Isa>& state) {
  using Super = SuperBlock<Block>;
  using Floats = typename Isa::Floats;
  const Floats center = state.scale;
  for (float change = -1.0f; change <= 1.0f; change += 2.0f) {
    const Floats scale =
        rounded_within<Isa>(center + Floats::broadcast(change), Super::kLeast, Super::kMost);
    const Floats error = rounding_error<Isa, typename Super::Levels>(lanes, state.d * scale);
    const auto is_better = less(error, state.error);
    state.scale = select(is_better, scale, state.scale);
    state.error = select(is_better, error, state.error);
  }
}

// The shared scale that is best for the quants that the present one leads to.
template <class Isa, class Block, int n>
[[gnu::always_inline]] inline void improve_shared_scale(const WeightLanes<n>& lanes,
                                                        ScaledLanes<Isa>& state) {
  using Levels = typename SuperBlock<Block>::Levels;
  using Floats = typename Isa::Floats;
  constexpr int group = kLanesPerBlock<Block>;
  const Floats step = state.d * state.scale, inverse = inverse_or_zero<Isa>(step);
  Floats left_q = Floats::zero(), qq = Floats::zero();
  for (int i = 0; i < n; ++i) {
    const Floats x = Floats::load(lanes.x[i]), w = Floats::load(lanes.importance[i]);
    const Floats q = Levels::template nearest<Isa>(x * inverse), wq = w * q;
    left_q = fma(wq, fma(-step, q, x), left_q);
    qq = fma(wq, q, qq);
  }
  const Floats change =
      group_sums<Isa, group>(state.scale * left_q) *
      inverse_or_zero<Isa>(group_sums<Isa, group>(state.scale * state.scale * qq));
  const Floats d = stored_lanes<Isa>(lanes, state.d + change);
  const Floats error = rounding_error<Isa, Levels>(lanes, d * state.scale);
  const auto is_better = less(group_sums<Isa, group>(error), group_sums<Isa, group>(state.error));
  state.d = select(is_better, d, state.d);
  state.error = select(is_better, error, state.error);
}

template <class Isa, class Block, int n>
[[gnu::always_inline]] inline ScaledLanes<Isa> fit_scaled(const WeightLanes<n>& lanes) {
  using Super = SuperBlock<Block>;
  using Floats = typename Isa::Floats;
  constexpr TargetRange range = Super::kRange;
  const Floats step = fit_step<Isa, typename Super::Levels>(lanes, range);
  ScaledLanes<Isa> state;
  const Floats extreme = group_extremes<Isa, kLanesPerBlock<Block>>(step);
  state.d = stored_lanes<Isa>(lanes, extreme * Floats::broadcast(1.0f / Super::kLeast));
  state.scale =
      rounded_within<Isa>(step * inverse_or_zero<Isa>(state.d), Super::kLeast, Super::kMost);
  state.error = rounding_error<Isa, typename Super::Levels>(lanes, state.d * state.scale);
  for (int round = 0; round < 2; ++round) {
    improve_scales<Isa, Block>(lanes, state);
    improve_shared_scale<Isa, Block>(lanes, state);
  }
  return state;
}

template <int n>
[[gnu::always_inline]] inline void copy_group(const CodeLanes<n>& codes, int first, uint8_t* q) {
  for (int g = 0; g < 256 / n; ++g) copy_lane(codes, first + g, q + g * n);
}

// x = d * scale * level.
template <class Isa, class Block>
[[gnu::noinline]] void quantize_scaled_super(const BlockRun<Block>& run) noexcept {
  using Super = SuperBlock<Block>;
  constexpr int n = Super::kLane, group = kLanesPerBlock<Block>;
  WeightLanes<n> lanes;
  load_run<Isa, n, group>(lanes, run);
  const ScaledLanes<Isa> fit = fit_scaled<Isa, Block>(lanes);
  CodeLanes<n> codes;
  round_to_codes<Isa, typename Super::Levels>(lanes, fit.d * fit.scale, Isa::Floats::zero(), codes);
  float d[kLanes];
  int32_t scale[kLanes];
  fit.d.store(d);
  round_to_int(fit.scale).store(scale);
  for (int b = 0; b < run.count; ++b) {
    uint8_t q[256];
    copy_group(codes, b * group, q);
    run.out[b].d = stored_half<Isa>(d[b * group], lanes.unit[b * group]);
    pack_scales(run.out[b], scale + b * group);
    pack_quants(run.out[b], q);
  }
}

}  // namespace larder::quant
