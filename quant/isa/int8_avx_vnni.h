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
  [[gnu::always_inline]] static Sums dot(Bytes quants, const int8_t* a) {
    return {_mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), quants.lanes, Bytes::load(a).lanes)};
  }
  template <int max_quant>
  [[gnu::always_inline]] static PairSums dot_pair(Pair quants, const int8_t* a, const int8_t* b) {
    return {dot<max_quant>(quants.first, a), dot<max_quant>(quants.second, b)};
  }
  template <int max_quant, int group, int i>
  [[gnu::always_inline]] static WideSums dot_scaled_64(WideSums sum, Pair quants, const int8_t* a,
                                                       Words scales) {
    sum = dot_scaled<max_quant>(sum, quants.first, a, spread<group, 2 * i>(scales));
    return dot_scaled<max_quant>(sum, quants.second, a + 32, spread<group, 2 * i + 1>(scales));
  }
  template <int max_quant>
  [[gnu::always_inline]] static Sums dot_scaled(Sums sum, Bytes quants, const int8_t* a,
                                                Words scales) {
    const __m256i x = Bytes::load(a).lanes;
    if constexpr (max_quant > 127) {  // pairs would saturate; whole dwords do not
      const __m256i dots = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), quants.lanes, x);
      const __m256i wide = _mm256_srai_epi32(scales.lanes, 16);
      return {_mm256_add_epi32(sum.lanes, _mm256_mullo_epi32(dots, wide))};
    }
    const __m256i pairs = _mm256_maddubs_epi16(quants.lanes, x);
    return {_mm256_dpwssd_avx_epi32(sum.lanes, pairs, scales.lanes)};
  }
  [[gnu::always_inline]] static Sums dot_words(Sums sum, Words a, Words b) {
    return {_mm256_dpwssd_avx_epi32(sum.lanes, a.lanes, b.lanes)};
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
