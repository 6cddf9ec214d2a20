// The fastest 8-bit dot product of AVX-512 VNNI: vpdpbusd, 64 products added to 16 int32.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace larder::quant::avx512_vnni {
namespace {

struct DotProbe {
  using Register = __m512i;
  static constexpr int32_t kOps = 2 * 64;

  static Register broadcast(int8_t x) { return _mm512_set1_epi8(x); }
  static Register dot(Register sum, Register weights, Register activations) {
    return _mm512_dpbusd_epi32(sum, weights, activations);
  }
  static Register add(Register a, Register b) { return _mm512_add_epi32(a, b); }
  static int32_t first(Register a) { return _mm512_cvtsi512_si32(a); }
};

}  // namespace
}  // namespace larder::quant::avx512_vnni
