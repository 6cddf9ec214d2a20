// Element by element: sums, products, limits, float16. NaN stays NaN.
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"

namespace larder::quant {

template <class Isa>
void add(float* y, const float* x, int64_t n) noexcept {
  map_lanes<Isa>(
      n, y, [](auto a, auto b) { return a + b; }, y, x);
}

template <class Isa>
void scale(float* y, float s, int64_t n) noexcept {
  const auto factor = Isa::Floats::broadcast(s);
  map_lanes<Isa>(
      n, y, [=](auto a) { return a * factor; }, y);
}

template <class Isa>
void add_scaled(float* y, float s, const float* x, int64_t n) noexcept {
  const auto factor = Isa::Floats::broadcast(s);
  map_lanes<Isa>(
      n, y, [=](auto a, auto b) { return fma(factor, b, a); }, y, x);
}

template <class Isa>
void multiply(float* y, const float* x, int64_t n) noexcept {
  map_lanes<Isa>(
      n, y, [](auto a, auto b) { return a * b; }, y, x);
}

// The second operand of min and max wins where one is NaN, so the value comes second.
template <class Isa>
void clamp(float* y, float low, float high, int64_t n) noexcept {
  const auto lowest = Isa::Floats::broadcast(low), highest = Isa::Floats::broadcast(high);
  map_lanes<Isa>(
      n, y, [=](auto a) { return min(highest, max(lowest, a)); }, y);
}

template <class Isa>
void relu(float* x, int64_t n) noexcept {
  const auto zero = Isa::Floats::zero();
  map_lanes<Isa>(
      n, x, [=](auto a) { return max(zero, a); }, x);
}

template <class Isa>
void to_f16(const float* x, int64_t n, uint16_t* out) noexcept {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) load_lanes<Isa>(x + i).to_f16(out + i);
  if (i < n) load_lanes<Isa>(x + i, n - i).to_f16_partial(out + i, n - i);
}

template <class Isa>
void from_f16(const uint16_t* x, int64_t n, float* out) noexcept {
  map_lanes<Isa>(
      n, out, [](auto a) { return a; }, x);
}

template <class Isa>
bool all_finite(const float* x, int64_t n) noexcept {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  const Ints exponent = Ints::broadcast(0x7f800000);
  // An exponent of ones means infinity or NaN; its lane becomes and stays all ones.
  const auto found = fold_lanes<Isa>(
      n, Floats::zero(),
      [=](Floats seen, Floats a) {
        const Ints special = Ints::broadcast(-1);
        return from_bits(select(equal(bits_of(a) & exponent, exponent), special, bits_of(seen)));
      },
      x);
  return lane_bits(equal(bits_of(found), Ints::zero())) == 0xffff;
}

}  // namespace larder::quant
