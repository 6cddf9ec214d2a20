// The fastest 8-bit dot product of AVX-VNNI: vpdpbusd, 32 products added to 8 int32.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace larder::quant::avx_vnni {
namespace {

struct DotProbe {
  using Register = __m256i;
  static constexpr int32_t kOps = 2 * 32;

  static Register broadcast(int8_t x) { return _mm256_set1_epi8(x); }
  static Register dot(Register sum, Register weights, Register activations) {
    return _mm256_dpbusd_avx_epi32(sum, weights, activations);
  }
  static Register add(Register a, Register b) { return _mm256_add_epi32(a, b); }
  static int32_t first(Register a) { return _mm256_cvtsi256_si32(a); }
};

}  // namespace
}  // namespace larder::quant::avx_vnni
