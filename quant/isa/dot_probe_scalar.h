// What a compiler makes of portable 8-bit dot products on any x86-64: pmaddwd over widened values,
// 8 products added to 4 int32. The widening is not counted.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace larder::quant::scalar {
namespace {

struct DotProbe {
  using Register = __m128i;
  static constexpr int32_t kOps = 2 * 8;

  static Register broadcast(int8_t x) { return _mm_set1_epi16(x); }
  static Register dot(Register sum, Register weights, Register activations) {
    return _mm_add_epi32(sum, _mm_madd_epi16(weights, activations));
  }
  static Register add(Register a, Register b) { return _mm_add_epi32(a, b); }
  static int32_t first(Register a) { return _mm_cvtsi128_si32(a); }
};

}  // namespace
}  // namespace larder::quant::scalar
