// Super-blocks with minimums: x = d * scale * q - dmin * min.
#pragma once

#include "quant/isa/quantize_super_blocks.h"

namespace larder::quant {

template <class Isa>
struct AffineLanes {
  typename Isa::Floats d, dmin;     // as stored, the same in all lanes of a super-block
  typename Isa::Floats scale, min;  // integers
  typename Isa::Floats error;
};

// What quants leave of the weights themselves.
template <class Isa>
struct AffineRemainder {
  typename Isa::Floats error = Isa::Floats::zero(), left = error, left_q = error, q = error,
                       qq = error;
};

template <class Isa, int top, int n>
[[gnu::always_inline]] inline AffineRemainder<Isa> affine_remainder(const WeightLanes<n>& lanes,
                                                                    typename Isa::Floats step,
                                                                    typename Isa::Floats offset) {
  using Floats = typename Isa::Floats;
  const Floats inverse = inverse_or_zero<Isa>(step);
  AffineRemainder<Isa> sums;
  for (int i = 0; i < n; ++i) {
    const Floats x = Floats::load(lanes.x[i]) + offset, w = Floats::load(lanes.importance[i]);
    const Floats q = IntegerLevels<0, top>::template nearest<Isa>(x * inverse);
    const Floats left = fma(-step, q, x), wl = w * left, wq = w * q;
    sums.error = fma(wl, left, sums.error);
    sums.left = sums.left + wl;
    sums.left_q = fma(wl, q, sums.left_q);
    sums.q = sums.q + wq;
    sums.qq = fma(wq, q, sums.qq);
  }
  return sums;
}

template <class Isa>
[[gnu::always_inline]] inline void keep_better(AffineLanes<Isa>& best, typename Isa::Floats error,
                                               typename Isa::Floats scale,
                                               typename Isa::Floats min) {
  const auto is_better = less(error, best.error);
  best.error = select(is_better, error, best.error);
  best.scale = select(is_better, scale, best.scale);
  best.min = select(is_better, min, best.min);
}

// Takes integer scales one lower or higher, and the minimum that suits each, where that is better.
template <class Isa, class Block, int n>
[[gnu::always_inline]] inline void improve_scales(const WeightLanes<n>& lanes,
                                                  typename Isa::Floats total,
                                                  AffineLanes<Isa>& state) {
  using Super = SuperBlock<Block>;
  using Floats = typename Isa::Floats;
  const Floats inverse_dmin = inverse_or_zero<Isa>(state.dmin),
               reciprocal = Floats::broadcast(1.0f) / total;
  const Floats center = state.scale, center_min = state.min;
  for (float change = -1.0f; change <= 1.0f; change += 1.0f) {
    const Floats scale = rounded_within<Isa>(center + Floats::broadcast(change), 0, Super::kMost);
    const Floats step = state.d * scale, offset = state.dmin * center_min;
    const auto first = affine_remainder<Isa, Super::kTop>(lanes, step, offset);
    keep_better(state, first.error, scale, center_min);
    const Floats wanted = offset - first.left * reciprocal;
    const Floats min = rounded_within<Isa>(wanted * inverse_dmin, 0, Super::kMost);
    const auto second = affine_remainder<Isa, Super::kTop>(lanes, step, state.dmin * min);
    keep_better(state, second.error, scale, min);
  }
}

// The shared scales that are best for the quants that the present ones lead to: two unknowns, by
// least squares over the super-block.
template <class Isa, class Block, int n>
[[gnu::always_inline]] inline void improve_shared_scales(const WeightLanes<n>& lanes,
                                                         typename Isa::Floats total,
                                                         AffineLanes<Isa>& state) {
  using Super = SuperBlock<Block>;
  using Floats = typename Isa::Floats;
  constexpr int group = kLanesPerBlock<Block>;
  const auto s =
      affine_remainder<Isa, Super::kTop>(lanes, state.d * state.scale, state.dmin * state.min);
  const Floats dd = group_sums<Isa, group>(state.scale * state.scale * s.qq);
  const Floats mm = group_sums<Isa, group>(state.min * state.min * total);
  const Floats dm = group_sums<Isa, group>(state.scale * state.min * s.q);
  const Floats dx = group_sums<Isa, group>(state.scale * s.left_q);
  const Floats mx = group_sums<Isa, group>(state.min * s.left);
  const Floats determinant = dd * mm - dm * dm;
  const auto is_sound = less(dd * mm * Floats::broadcast(1e-4f), determinant);
  const Floats inverse = inverse_or_zero<Isa>(select(is_sound, determinant, Floats::zero()));
  const Floats d_change =
      select(is_sound, (mm * dx - dm * mx) * inverse, dx * inverse_or_zero<Isa>(dd));
  const Floats dmin_change = (dm * dx - dd * mx) * inverse;
  const Floats d = stored_lanes<Isa>(lanes, state.d + d_change);
  const Floats dmin = stored_lanes<Isa>(lanes, max(state.dmin + dmin_change, Floats::zero()));
  const Floats error =
      affine_remainder<Isa, Super::kTop>(lanes, d * state.scale, dmin * state.min).error;
  const auto is_better = less(group_sums<Isa, group>(error), group_sums<Isa, group>(state.error));
  state.d = select(is_better, d, state.d);
  state.dmin = select(is_better, dmin, state.dmin);
  state.error = select(is_better, error, state.error);
}

template <class Isa, class Block, int n>
[[gnu::always_inline]] inline AffineLanes<Isa> fit_affine_super(const WeightLanes<n>& lanes) {
  using Super = SuperBlock<Block>;
  using Floats = typename Isa::Floats;
  constexpr int group = kLanesPerBlock<Block>;
  const Floats share = Floats::broadcast(1.0f / Super::kMost);
  const Floats total = total_importance<Isa>(lanes);
  constexpr TargetRange range = Super::kRange;
  const AffineFit<Isa> fit = fit_affine<Isa, Super::kTop, Offsets::not_negative>(lanes, range);
  AffineLanes<Isa> state;
  state.d = stored_lanes<Isa>(lanes, group_extremes<Isa, group>(fit.step) * share);
  state.dmin = stored_lanes<Isa>(lanes, group_extremes<Isa, group>(fit.offset) * share);
  state.scale = rounded_within<Isa>(fit.step * inverse_or_zero<Isa>(state.d), 0, Super::kMost);
  state.min = rounded_within<Isa>(fit.offset * inverse_or_zero<Isa>(state.dmin), 0, Super::kMost);
  state.error =
      affine_remainder<Isa, Super::kTop>(lanes, state.d * state.scale, state.dmin * state.min)
          .error;
  for (int round = 0; round < 2; ++round) {
    improve_scales<Isa, Block>(lanes, total, state);
    improve_shared_scales<Isa, Block>(lanes, total, state);
  }
  return state;
}

template <class Isa, class Block>
[[gnu::noinline]] void quantize_affine_super(const BlockRun<Block>& run) noexcept {
  using Super = SuperBlock<Block>;
  constexpr int n = Super::kLane, group = kLanesPerBlock<Block>;
  WeightLanes<n> lanes;
  load_run<Isa, n, group>(lanes, run);
  const AffineLanes<Isa> fit = fit_affine_super<Isa, Block>(lanes);
  CodeLanes<n> codes;
  round_to_codes<Isa, IntegerLevels<0, Super::kTop>>(lanes, fit.d * fit.scale, fit.dmin * fit.min,
                                                     codes);
  float d[kLanes], dmin[kLanes];
  int32_t scale[kLanes], min[kLanes];
  fit.d.store(d);
  fit.dmin.store(dmin);
  round_to_int(fit.scale).store(scale);
  round_to_int(fit.min).store(min);
  for (int b = 0; b < run.count; ++b) {
    const int first = b * group;
    uint8_t q[256];
    copy_group(codes, first, q);
    run.out[b].d = stored_half<Isa>(d[first], lanes.unit[first]);
    run.out[b].dmin = stored_half<Isa>(dmin[first], lanes.unit[first]);
    pack_scales(run.out[b], scale + first, min + first);
    pack_quants(run.out[b], q);
  }
}

}  // namespace larder::quant
