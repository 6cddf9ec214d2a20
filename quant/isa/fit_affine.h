// Step and offset of a block whose weights are x = step * q - offset, q from 0 to `top`, by least
// squares: as in fit_scale.h, with what rounding leaves fitted by a + b q.
#pragma once

#include "quant/isa/fit_scale.h"

namespace larder::quant {

template <class Isa>
struct AffineFit {
  typename Isa::Floats error, step, offset;
};

template <class Isa, int n>
[[gnu::always_inline]] inline typename Isa::Floats total_importance(const WeightLanes<n>& lanes) {
  typename Isa::Floats total = Isa::Floats::zero();
  for (int i = 0; i < n; ++i) total = total + Isa::Floats::load(lanes.importance[i]);
  return total;
}

// Sums over a block, of quants q and what they leave of x / step + offset / step.
template <class Isa>
struct AffineSums {
  typename Isa::Floats r = Isa::Floats::zero(), rr = r, rq = r, q = r, qq = r;
};

template <class Isa, int top, int n>
[[gnu::always_inline]] inline AffineSums<Isa> affine_sums(const WeightLanes<n>& lanes,
                                                          typename Isa::Floats inverse,
                                                          typename Isa::Floats base) {
  using Floats = typename Isa::Floats;
  AffineSums<Isa> sums;
  for (int i = 0; i < n; ++i) {
    const Floats x = fma(Floats::load(lanes.x[i]), inverse, base);
    const Floats q = IntegerLevels<0, top>::template nearest<Isa>(x);
    const Floats w = Floats::load(lanes.importance[i]);
    const Floats r = x - q, wr = w * r, wq = w * q;
    sums.r = sums.r + wr;
    sums.rr = fma(wr, r, sums.rr);
    sums.rq = fma(wr, q, sums.rq);
    sums.q = sums.q + wq;
    sums.qq = fma(wq, q, sums.qq);
  }
  return sums;
}

enum class Offsets : bool { any, not_negative };

template <class Isa, int top, Offsets offsets, int n>
[[gnu::always_inline]] inline AffineFit<Isa> settle_affine(const WeightLanes<n>& lanes,
                                                           typename Isa::Floats total,
                                                           typename Isa::Floats step,
                                                           typename Isa::Floats offset) {
  using Floats = typename Isa::Floats;
  const Floats inverse = Floats::broadcast(1.0f) / step, base = offset * inverse;
  const AffineSums<Isa> s = affine_sums<Isa, top>(lanes, inverse, base);
  const Floats product = total * s.qq, determinant = product - s.q * s.q;
  // Quants all but equal say nothing about a and b together.
  const auto is_sound = less(product * Floats::broadcast(1e-4f), determinant);
  Floats a = select(is_sound, (s.qq * s.r - s.q * s.rq) / determinant, Floats::zero());
  if constexpr (offsets == Offsets::not_negative) a = min(a, base);
  const Floats b = (s.rq - a * s.q) / s.qq;
  const Floats left = s.rr - a * (s.r + s.r - a * total) - b * b * s.qq;
  return {step * step * left, fma(step, b, step), offset - step * a};
}

template <class Isa>
[[gnu::always_inline]] inline void keep_better(AffineFit<Isa>& best, const AffineFit<Isa>& other) {
  const auto is_better = less(other.error, best.error);
  best.error = select(is_better, other.error, best.error);
  best.step = select(is_better, other.step, best.step);
  best.offset = select(is_better, other.offset, best.offset);
}

// Tries steps by which the block's range spans range.least to range.most quants; what does not fit
// is cut off at the upper end, at both, or at the lower one. A step of 0 for blocks of one value.
template <class Isa, int top, Offsets offsets, int n>
[[gnu::always_inline]] inline AffineFit<Isa> fit_affine(const WeightLanes<n>& lanes,
                                                        TargetRange range) {
  using Floats = typename Isa::Floats;
  constexpr int kSettlings = 2;
  constexpr float kLowShares[] = {0.0f, 0.5f, 1.0f};
  const Floats zero = Floats::zero();
  Floats low = Floats::load(lanes.x[0]), high = low;
  for (int i = 1; i < n; ++i) {
    low = min(low, Floats::load(lanes.x[i]));
    high = max(high, Floats::load(lanes.x[i]));
  }
  if constexpr (offsets == Offsets::not_negative) {
    low = min(low, zero);
    high = max(high, zero);
  }
  const Floats width = high - low;
  const auto is_flat = less(width, Floats::broadcast(0x1p-60f));
  const Floats span = select(is_flat, Floats::broadcast(1.0f), width);
  const auto is_pinned = offsets == Offsets::not_negative ? equal(low, zero) : less(zero, zero);
  const Floats total = total_importance<Isa>(lanes);
  AffineFit<Isa> best = {Floats::broadcast(__builtin_inff()), span * Floats::broadcast(1.0f / top),
                         -low};
  for (int k = 0; k < range.n_targets; ++k) {
    const Floats step = span * Floats::broadcast(1.0f / range.target(k));
    const Floats cut = step * Floats::broadcast(top) - width;  // negative: less than the range
    for (const float share : kLowShares) {
      Floats offset = fma(Floats::broadcast(share), cut, -low);
      if constexpr (offsets == Offsets::not_negative) {
        offset = select(is_pinned, zero, max(offset, zero));
      }
      keep_better(best, settle_affine<Isa, top, offsets>(lanes, total, step, offset));
    }
  }
  for (int k = 0; k < kSettlings; ++k) {
    keep_better(best, settle_affine<Isa, top, offsets>(lanes, total, best.step, best.offset));
  }
  best.step = select(is_flat, zero, best.step);
  best.offset = select(is_flat, -low, best.offset);
  return best;
}

}  // namespace larder::quant
