// Loops over rows of any length, 16 lanes at a time; a short tail is padded with zeros.
#pragma once

#include <cstdint>

#include "quant/block.h"

namespace larder::quant {

constexpr int kLanes = 16;

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes(const float* p) {
  return Isa::Floats::load(p);
}
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes(const float* p, int64_t n) {
  return Isa::Floats::load_partial(p, n);
}
// Elements of uint16_t are float16.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes(const uint16_t* p) {
  return Isa::Floats::from_f16(p);
}
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes(const uint16_t* p, int64_t n) {
  return Isa::Floats::from_f16_partial(p, n);
}

// A bfloat16.
struct Bf16 {
  uint16_t bits;
};
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes(const Bf16* p) {
  return Isa::Floats::from_bf16(&p->bits);
}
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes(const Bf16* p, int64_t n) {
  uint16_t padded[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) padded[i] = p[i].bits;
  return Isa::Floats::from_bf16(padded);
}

// Elements k to k + 15 of a row, or n of them; k is a multiple of 16. Those of BlockQ8_0 are exact:
// a quant of 8 bits times a scale of 11 fits a float. REQUIRES: whole blocks of these.
template <class Isa, class Element, class... Count>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes_at(const Element* row, int64_t k,
                                                                 Count... n) {
  return load_lanes<Isa>(row + k, n...);
}
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes_at(const BlockQ8_0* row, int64_t k) {
  const BlockQ8_0& block = row[k / 32];
  return to_float(Isa::Ints::load_int8(block.qs + k % 32)) *
         Isa::Floats::broadcast(Isa::widen_f16(block.d.bits()));
}
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_lanes_at(const BlockQ8_0* row, int64_t k,
                                                                 int64_t) {
  return load_lanes_at<Isa>(row, k);
}

// out[i] = op(in[i]...); out may be one of the inputs.
template <class Isa, class Op, class... In>
[[gnu::always_inline]] inline void map_lanes(int64_t n, float* out, Op op, const In*... in) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) op(load_lanes<Isa>(in + i)...).store(out + i);
  if (i < n) op(load_lanes<Isa>(in + i, n - i)...).store_partial(out + i, n - i);
}

// The lanes of op(... op(op(start, in[0..16)), in[16..32)) ...), the last one padded with zeros.
template <class Isa, class Op, class... In>
[[gnu::always_inline]] inline typename Isa::Floats fold_lanes(int64_t n, typename Isa::Floats start,
                                                              Op op, const In*... in) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) start = op(start, load_lanes<Isa>(in + i)...);
  if (i < n) start = op(start, load_lanes<Isa>(in + i, n - i)...);
  return start;
}

}  // namespace larder::quant
