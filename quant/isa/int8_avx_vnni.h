// The vocabulary of int8_scalar.h on AVX-VNNI: that of AVX2, but dots are vpdpbusd on 256 bits, 32
// products an instruction, exact in 32 bits whatever the quants.
#pragma once

#include "quant/isa/int8_avx2.h"

namespace larder::quant::avx_vnni {
namespace {

struct AvxVnniInt8 : avx2::Avx2Int8 {
  static constexpr int kTileTokens = 6;
  template <int max_quant>
  static constexpr int offset_left(int offset) {
    return offset;
  }

  template <int max_quant>
  [[gnu::always_inline]] static void store_panel(const Bytes* rows, uint8_t* panel) {
    avx2::Avx2Int8::store_panel<0>(rows, panel);
  }
  [[gnu::always_inline]] static Ints low_scale(Ints pairs) {
    return shift_right_signed<16>(shift_left<16>(pairs));
  }
  [[gnu::always_inline]] static Ints high_scale(Ints pairs) {
    return shift_right_signed<16>(pairs);
  }

  template <int max_quant>
  static constexpr int steps_exact() {
    return 64;
  }
  template <int max_quant>
  [[gnu::always_inline]] static Ints step(Ints partial, Ints quants, const int8_t* a) {
    int32_t four;
    __builtin_memcpy(&four, a, 4);
    const __m256i x = _mm256_set1_epi32(four);
    return {_mm256_dpbusd_avx_epi32(partial.low, quants.low, x),
            _mm256_dpbusd_avx_epi32(partial.high, quants.high, x)};
  }
  [[gnu::always_inline]] static Ints add_partial(Ints sum, Ints partial) { return sum + partial; }
  [[gnu::always_inline]] static Ints add_scaled(Ints sum, Ints partial, Ints scale) {
    return sum + partial * scale;
  }
  [[gnu::always_inline]] static Ints step_pairs(Ints sum, Ints pairs, const int16_t* a) {
    int32_t two;
    __builtin_memcpy(&two, a, 4);
    const __m256i x = _mm256_set1_epi32(two);
    return {_mm256_dpwssd_avx_epi32(sum.low, pairs.low, x),
            _mm256_dpwssd_avx_epi32(sum.high, pairs.high, x)};
  }
};

}  // namespace
}  // namespace larder::quant::avx_vnni
