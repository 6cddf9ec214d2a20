// The step of a block whose weights are x = step * level, by least squares.
//
// A step fixes the nearest levels; levels fix the best step, step * (1 + sum(w r q) / sum(w q q)),
// where q are the levels and r what rounding left of x / step. The search tries steps that put the
// block's largest weight at places on either side of the outermost levels, and lets the best one
// settle.
#pragma once

#include "quant/isa/levels.h"
#include "quant/isa/weight_lanes.h"

namespace larder::quant {

// Where the largest weight is tried: at `least` to `most` levels from 0, in n_targets equal steps.
// Measured on trained weights: with more targets the error falls by less than 1 %. A member of this
// type is made a local constexpr before it is handed over, which would name a weak symbol.
struct TargetRange {
  float least, most;
  int n_targets;
  bool both_sides = false;  // of 0: levels are not symmetric
  [[gnu::always_inline]] constexpr float target(int k) const {
    return least + (most - least) * static_cast<float>(k) / static_cast<float>(n_targets - 1);
  }
};

template <class Isa>
struct SteppedFit {
  typename Isa::Floats error, step;
};

// The error of the best step for the levels that `inverse` leads to, and that step.
template <class Isa, class Levels, int n>
[[gnu::always_inline]] inline SteppedFit<Isa> settle_step(const WeightLanes<n>& lanes,
                                                          typename Isa::Floats step,
                                                          typename Isa::Floats inverse) {
  using Floats = typename Isa::Floats;
  Floats rr = Floats::zero(), rq = Floats::zero(), qq = Floats::zero();
  for (int i = 0; i < n; ++i) {
    const Floats x = Floats::load(lanes.x[i]) * inverse;
    const Floats q = Levels::template nearest<Isa>(x);
    const Floats w = Floats::load(lanes.importance[i]);
    const Floats r = x - q, wr = w * r;
    rr = fma(wr, r, rr);
    rq = fma(wr, q, rq);
    qq = fma(w * q, q, qq);
  }
  const Floats change = rq / qq;
  return {step * step * (rr - rq * change), fma(step, change, step)};
}

template <class Isa>
[[gnu::always_inline]] inline void keep_better(SteppedFit<Isa>& best,
                                               const SteppedFit<Isa>& other) {
  const auto is_better = less(other.error, best.error);  // false for NaN: no level but 0
  best.error = select(is_better, other.error, best.error);
  best.step = select(is_better, other.step, best.step);
}

// Of largest magnitude, with its sign.
template <class Isa, int n>
[[gnu::always_inline]] inline typename Isa::Floats extremes(const WeightLanes<n>& lanes) {
  using Floats = typename Isa::Floats;
  Floats extreme = Floats::zero();
  for (int i = 0; i < n; ++i) {
    const Floats x = Floats::load(lanes.x[i]);
    extreme = select(less(abs(extreme), abs(x)), x, extreme);
  }
  return extreme;
}

// 0 for lanes of zeros.
template <class Isa, class Levels, int n>
[[gnu::always_inline]] inline typename Isa::Floats fit_step(const WeightLanes<n>& lanes,
                                                            TargetRange range) {
  using Floats = typename Isa::Floats;
  constexpr int kSettlings = 2;
  const Floats one = Floats::broadcast(1.0f), zero = Floats::zero();
  const Floats extreme = extremes<Isa>(lanes);
  const auto is_zero = less(abs(extreme), Floats::broadcast(0x1p-60f));
  const Floats divisor = select(is_zero, one, extreme), reciprocal = one / divisor;
  SteppedFit<Isa> best = {Floats::broadcast(__builtin_inff()),
                          divisor * Floats::broadcast(-1.0f / range.most)};
  for (int k = 0; k < range.n_targets; ++k) {
    for (float sign = -1.0f; sign <= (range.both_sides ? 1.0f : -1.0f); sign += 2.0f) {
      const Floats place = Floats::broadcast(sign * range.target(k));
      keep_better(best, settle_step<Isa, Levels>(lanes, divisor / place, reciprocal * place));
    }
  }
  for (int k = 0; k < kSettlings; ++k) {
    keep_better(best, settle_step<Isa, Levels>(lanes, best.step, one / best.step));
  }
  return select(is_zero, zero, best.step);
}

}  // namespace larder::quant
