// Weights to blocks of 32, 16 blocks at a time.
#pragma once

#include "quant/isa/block_run.h"
#include "quant/isa/fit_affine.h"
#include "quant/isa/pack_weights.h"

namespace larder::quant {

template <class Block>
struct SmallBlock;
template <>
struct SmallBlock<BlockQ4_0> {
  using Levels = IntegerLevels<-8, 7>;
  static constexpr TargetRange kRange = {6.0f, 9.0f, 9, true};
};
template <>
struct SmallBlock<BlockQ5_0> {
  using Levels = IntegerLevels<-16, 15>;
  static constexpr TargetRange kRange = {13.0f, 17.0f, 9, true};
};
// -128 stays unused: it has no opposite.
template <>
struct SmallBlock<BlockQ8_0> {
  using Levels = IntegerLevels<-127, 127>;
  static constexpr TargetRange kRange = {120.0f, 128.0f, 9};
};
template <>
struct SmallBlock<BlockIQ4_NL> {
  using Levels = Iq4Levels;
  static constexpr TargetRange kRange = {100.0f, 135.0f, 6, true};
};
template <>
struct SmallBlock<BlockQ4_1> {
  static constexpr int kTop = 15;
  static constexpr TargetRange kRange = {14.5f, 18.5f, 5};
};
template <>
struct SmallBlock<BlockQ5_1> {
  static constexpr int kTop = 31;
  static constexpr TargetRange kRange = {30.0f, 36.0f, 5};
};

template <class Block>
[[gnu::always_inline]] inline void pack_lane(Block& block, const CodeLanes<32>& codes, int lane) {
  uint8_t q[32];
  copy_lane(codes, lane, q);
  pack_quants(block, q);
}

// x = d * level.
template <class Isa, class Block>
[[gnu::noinline]] void quantize_scaled(const BlockRun<Block>& run) noexcept {
  using Floats = typename Isa::Floats;
  using Levels = typename SmallBlock<Block>::Levels;
  WeightLanes<32> lanes;
  load_run<Isa, 32, 1>(lanes, run);
  constexpr TargetRange range = SmallBlock<Block>::kRange;
  const Floats step = stored_lanes<Isa>(lanes, fit_step<Isa, Levels>(lanes, range));
  CodeLanes<32> codes;
  round_to_codes<Isa, Levels>(lanes, step, Floats::zero(), codes);
  float d[kLanes];
  step.store(d);
  for (int b = 0; b < run.count; ++b) {
    run.out[b].d = stored_half<Isa>(d[b], lanes.unit[b]);
    pack_lane(run.out[b], codes, b);
  }
}

// x = d * q + m.
template <class Isa, class Block>
[[gnu::noinline]] void quantize_affine(const BlockRun<Block>& run) noexcept {
  using Floats = typename Isa::Floats;
  constexpr int top = SmallBlock<Block>::kTop;
  constexpr TargetRange range = SmallBlock<Block>::kRange;
  WeightLanes<32> lanes;
  load_run<Isa, 32, 1>(lanes, run);
  const AffineFit<Isa> fit = fit_affine<Isa, top, Offsets::any>(lanes, range);
  const Floats step = stored_lanes<Isa>(lanes, fit.step);
  const Floats offset = stored_lanes<Isa>(lanes, fit.offset);
  CodeLanes<32> codes;
  round_to_codes<Isa, IntegerLevels<0, top>>(lanes, step, offset, codes);
  float d[kLanes], m[kLanes];
  step.store(d);
  (Floats::zero() - offset).store(m);
  for (int b = 0; b < run.count; ++b) {
    run.out[b].d = stored_half<Isa>(d[b], lanes.unit[b]);
    run.out[b].m = stored_half<Isa>(m[b], lanes.unit[b]);
    pack_lane(run.out[b], codes, b);
  }
}

// x = 2^(e - 128) * level. The lane's unit is 2^k with its largest weight below 2^(k + 1): steps of
// 2^(k - 4) to 2^(k - 2) put that at 4 to 16 of 12.
template <class Isa>
[[gnu::noinline]] void quantize_mxfp4(const BlockRun<BlockMXFP4>& run) noexcept {
  using Floats = typename Isa::Floats;
  WeightLanes<32> lanes;
  load_run<Isa, 32, 1>(lanes, run);
  Floats step = Floats::broadcast(0x1p-4f);
  Floats error = rounding_error<Isa, Fp4Levels>(lanes, step);
  for (float wider = 0x1p-3f; wider <= 0x1p-2f; wider *= 2.0f) {
    const Floats other_step = Floats::broadcast(wider);
    const Floats other = rounding_error<Isa, Fp4Levels>(lanes, other_step);
    const auto is_better = less(other, error);
    step = select(is_better, other_step, step);
    error = select(is_better, other, error);
  }
  CodeLanes<32> codes;
  round_to_codes<Isa, Fp4Levels>(lanes, step, Floats::zero(), codes);
  float steps[kLanes];
  step.store(steps);
  for (int b = 0; b < run.count; ++b) {
    const float d = steps[b] * lanes.unit[b];
    run.out[b].e =
        static_cast<uint8_t>(d == 0.0f ? 0 : (__builtin_bit_cast(uint32_t, d) >> 23) + 1);
    pack_lane(run.out[b], codes, b);
  }
}

}  // namespace larder::quant
