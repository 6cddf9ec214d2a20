// exp and what is made of it.
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"

namespace larder::quant {

// e^x within 2 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, e^r = 1 + r + r^2 P(r). Infinity from
// 88.73 on, gradual underflow to 0 below -87.3, NaN stays NaN, exp_lanes(0) == 1 exactly.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats exp_lanes(typename Isa::Floats x) {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62e43p-1f, kLn2Low = -0x1.05c61p-29f;
  // Below the first the result is 0, above the second infinity.
  constexpr float kLowest = -104.0f, kHighest = 89.0f;
  // P by Remez exchange on |r| <= ln 2 / 2, error relative to e^r below 8e-9.
  constexpr float kP[] = {0x1.ab9026p-13f, 0x1.6c78d6p-10f, 0x1.11108ap-7f,
                          0x1.55555p-5f,   0x1.555556p-3f,  0x1p-1f};
  const Floats limited =
      min(max(x, Floats::broadcast(kLowest)), Floats::broadcast(kHighest));  // NaN: kLowest
  const Ints n = round_to_int(limited * Floats::broadcast(kLog2E));
  const Floats n_float = to_float(n);
  Floats r = fma(n_float, Floats::broadcast(-kLn2High), limited);
  r = fma(n_float, Floats::broadcast(-kLn2Low), r);
  Floats p = Floats::broadcast(kP[0]);
  for (int i = 1; i < 6; ++i) p = fma(p, r, Floats::broadcast(kP[i]));
  const Floats e = fma(r * r, p, r) + Floats::broadcast(1.0f);
  // 2^n in two factors: n reaches from -150 to 128, one float exponent does not.
  const Ints half = shift_right_signed<1>(n), bias = Ints::broadcast(127);
  const Floats scaled =
      e * from_bits(shift_left<23>(half + bias)) * from_bits(shift_left<23>(n - half + bias));
  return select(is_nan(x), x, scaled);
}

// The lambdas below must be inlined: a call in the loop would pass its lanes through memory.

// x / (1 + e^-x)
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats silu_lanes(typename Isa::Floats x) {
  return x / (Isa::Floats::broadcast(1.0f) + exp_lanes<Isa>(-x));
}

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats sigmoid_lanes(typename Isa::Floats x) {
  const auto one = Isa::Floats::broadcast(1.0f);
  return one / (one + exp_lanes<Isa>(-x));
}

template <class Isa>
void swiglu(const float* gate, const float* up, int64_t n, float* out) noexcept {
  map_lanes<Isa>(
      n, out, [](auto g, auto u) __attribute__((always_inline)) { return silu_lanes<Isa>(g) * u; },
      gate, up);
}

template <class Isa>
void swiglu_clamped(const float* gate, const float* up, float alpha, float limit, int64_t n,
                    float* out) noexcept {
  using Floats = typename Isa::Floats;
  const Floats highest = Floats::broadcast(limit), lowest = Floats::broadcast(-limit);
  const Floats slope = Floats::broadcast(alpha), one = Floats::broadcast(1.0f);
  map_lanes<Isa>(
      n, out,
      [=](Floats g, Floats u) __attribute__((always_inline)) {
        const Floats gated = min(highest, g);
        return gated * sigmoid_lanes<Isa>(slope * gated) * (min(highest, max(lowest, u)) + one);
      },
      gate, up);
}

// 0.5 x (1 + tanh(t)) = x / (1 + e^-2t) with t = sqrt(2 / pi) (x + 0.044715 x^3).
// Source: Hendrycks and Gimpel, "Gaussian error linear units".
template <class Isa>
void gelu_tanh(float* x, int64_t n) noexcept {
  using Floats = typename Isa::Floats;
  const Floats minus_two_slope = Floats::broadcast(-2.0f * 0.7978845608f);
  const Floats cubic = Floats::broadcast(0.044715f), one = Floats::broadcast(1.0f);
  map_lanes<Isa>(
      n, x,
      [=](Floats a) __attribute__((always_inline)) {
        const Floats t = a * fma(cubic * a, a, one);
        return a / (one + exp_lanes<Isa>(minus_two_slope * t));
      },
      x);
}

template <class Isa>
void sigmoid(float* x, int64_t n) noexcept {
  map_lanes<Isa>(
      n, x, [](auto a) __attribute__((always_inline)) { return sigmoid_lanes<Isa>(a); }, x);
}

template <class Isa>
void silu(float* x, int64_t n) noexcept {
  map_lanes<Isa>(
      n, x, [](auto a) __attribute__((always_inline)) { return silu_lanes<Isa>(a); }, x);
}

template <class Isa>
void softmax(float* x, int64_t n) noexcept {
  using Floats = typename Isa::Floats;
  if (n <= 0) return;
  Floats most = Floats::broadcast(x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = max(most, load_lanes<Isa>(x + i));
  for (; i < n; ++i) most = max(most, Floats::broadcast(x[i]));
  const Floats top = Floats::broadcast(reduce_max(most));
  map_lanes<Isa>(
      n, x, [=](Floats a) __attribute__((always_inline)) { return exp_lanes<Isa>(a - top); }, x);
  const Floats sum = Floats::broadcast(reduce_add(fold_lanes<Isa>(
      n, Floats::zero(), [](Floats s, Floats a) __attribute__((always_inline)) { return s + a; },
      x)));
  map_lanes<Isa>(
      n, x, [=](Floats a) __attribute__((always_inline)) { return a / sum; }, x);
}

}  // namespace larder::quant
