// The fastest 8-bit dot product of AVX2: vpmaddubsw and an addition, 32 products added to 16 int16.
// What widens the sums before they overflow is not counted.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace larder::quant::avx2 {
namespace {

struct DotProbe {
  using Register = __m256i;
  static constexpr int32_t kOps = 2 * 32;

  static Register broadcast(int8_t x) { return _mm256_set1_epi8(x); }
  static Register dot(Register sum, Register weights, Register activations) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, activations));
  }
  static Register add(Register a, Register b) { return _mm256_add_epi32(a, b); }
  static int32_t first(Register a) { return _mm256_cvtsi256_si32(a); }
};

}  // namespace
}  // namespace larder::quant::avx2
