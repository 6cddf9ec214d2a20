// Normalisation of one row.
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"

namespace larder::quant {

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats mean_of(typename Isa::Floats lanes, int64_t n) {
  using Floats = typename Isa::Floats;
  return Floats::broadcast(reduce_add(lanes)) / Floats::broadcast(static_cast<float>(n));
}

template <class Isa>
void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) noexcept {
  using Floats = typename Isa::Floats;
  const Floats squares = fold_lanes<Isa>(
      n, Floats::zero(), [](Floats sum, Floats a) { return fma(a, a, sum); }, x);
  const Floats inverse =
      Floats::broadcast(1.0f) / sqrt(mean_of<Isa>(squares, n) + Floats::broadcast(eps));
  if (weight == nullptr) {
    map_lanes<Isa>(
        n, out, [=](Floats a) { return a * inverse; }, x);
  } else {
    map_lanes<Isa>(
        n, out, [=](Floats a, Floats w) { return a * inverse * w; }, x, weight);
  }
}

template <class Isa>
void l2_norm(const float* x, float eps, int64_t n, float* out) noexcept {
  using Floats = typename Isa::Floats;
  const float squares = reduce_add(fold_lanes<Isa>(
      n, Floats::zero(), [](Floats sum, Floats a) { return fma(a, a, sum); }, x));
  const Floats inverse = Floats::broadcast(1.0f) / sqrt(Floats::broadcast(squares + eps));
  map_lanes<Isa>(
      n, out, [=](Floats a) { return a * inverse; }, x);
}

template <class Isa>
void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t n,
                float* out) noexcept {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  const Floats mean =
      mean_of<Isa>(fold_lanes<Isa>(
                       n, Floats::zero(), [](Floats sum, Floats a) { return sum + a; }, x),
                   n);
  // The tail is padded after the mean is subtracted.
  const int64_t n_whole = n - n % kLanes;
  Floats squares = fold_lanes<Isa>(
      n_whole, Floats::zero(), [=](Floats sum, Floats a) { return fma(a - mean, a - mean, sum); },
      x);
  if (n_whole < n) {
    const auto present = less(Ints::iota(), Ints::broadcast(static_cast<int32_t>(n - n_whole)));
    const Floats off =
        select(present, load_lanes<Isa>(x + n_whole, n - n_whole) - mean, Floats::zero());
    squares = fma(off, off, squares);
  }
  const Floats inverse =
      Floats::broadcast(1.0f) / sqrt(mean_of<Isa>(squares, n) + Floats::broadcast(eps));
  if (bias == nullptr) {
    map_lanes<Isa>(
        n, out, [=](Floats a, Floats w) { return (a - mean) * inverse * w; }, x, weight);
  } else {
    map_lanes<Isa>(
        n, out, [=](Floats a, Floats w, Floats b) { return fma((a - mean) * inverse, w, b); }, x,
        weight, bias);
  }
}

}  // namespace larder::quant
