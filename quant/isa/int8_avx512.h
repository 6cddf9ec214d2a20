// The vocabulary of int8_scalar.h on AVX-512 VNNI. Panels: vpdpbusd, 64 products an instruction,
// throughput 1 (Zen 4, Ice Lake) or 2 (Zen 5) a cycle, latency 4. Rows: 256-bit registers, since a
// row's sub-blocks have 32 weights; vpmaddubsw then vpdpwssd, which multiplies by the scale.
#pragma once

#include "quant/isa/int8_256.h"
#include "quant/isa/primitives_avx512.h"

namespace larder::quant::avx512_vnni {
namespace {

// a's rows in the low half, b's in the high half.
[[gnu::always_inline]] inline __m512i join(__m256i a, __m256i b) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}
[[gnu::always_inline]] inline __m512i add_neighbours(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
// Rows r to r + 3 in the low half and r + 4 to r + 7 in the high half: lane i of each 128-bit
// quarter is half the total of row i of its half.
[[gnu::always_inline]] inline __m512i reduce_8_rows(const Sums* r) {
  const __m512i even = add_neighbours(join(r[0].lanes, r[4].lanes), join(r[2].lanes, r[6].lanes));
  const __m512i odd = add_neighbours(join(r[1].lanes, r[5].lanes), join(r[3].lanes, r[7].lanes));
  return add_neighbours(even, odd);
}

// 16 rows of 8 dwords to 8 columns of 16.
[[gnu::always_inline]] inline void transpose_16x8(const __m256i* rows, void* columns) {
  __m512i quads[2][4];  // [rows 8 h to 8 h + 7][dwords i and i + 4]
  for (int h = 0; h < 2; ++h) {
    const __m256i* r = rows + 8 * h;
    const __m512i r0 = join(r[0], r[4]), r1 = join(r[1], r[5]);
    const __m512i r2 = join(r[2], r[6]), r3 = join(r[3], r[7]);
    const __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
    const __m512i c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);
    quads[h][0] = _mm512_unpacklo_epi64(a, c);
    quads[h][1] = _mm512_unpackhi_epi64(a, c);
    quads[h][2] = _mm512_unpacklo_epi64(b, d);
    quads[h][3] = _mm512_unpackhi_epi64(b, d);
  }
  auto* out = static_cast<__m512i*>(columns);
  for (int i = 0; i < 4; ++i) {
    _mm512_storeu_si512(out + i, _mm512_shuffle_i32x4(quads[0][i], quads[1][i], 0x88));
    _mm512_storeu_si512(out + i + 4, _mm512_shuffle_i32x4(quads[0][i], quads[1][i], 0xdd));
  }
}

struct Avx512VnniInt8 : Avx512Vnni {
  using Bytes = quant::Bytes;
  using Words = quant::Words;
  using Sums = quant::Sums;

  static constexpr int kTileTokens = 8;
  static constexpr int kRowTokens = 4;
  template <int max_quant>
  static constexpr int offset_left(int offset) {
    return offset;
  }

  template <int max_quant>
  [[gnu::always_inline]] static Sums dot(Sums sum, Bytes quants, const int8_t* a) {
    return {_mm256_dpbusd_epi32(sum.lanes, quants.lanes, Bytes::load(a).lanes)};
  }
  template <int group, int i>
  [[gnu::always_inline]] static Words spread(Words scales) {
    const auto first = static_cast<int16_t>(group == 32 ? i : 2 * i);
    const auto second = static_cast<int16_t>(group == 32 ? i : 2 * i + 1);
    const __m256i word = _mm256_setr_m128i(_mm_set1_epi16(first), _mm_set1_epi16(second));
    return {_mm256_permutexvar_epi16(word, scales.lanes)};
  }
  template <int max_quant>
  [[gnu::always_inline]] static Sums dot_scaled(Sums sum, Bytes quants, const int8_t* a,
                                                Words scales) {
    const __m256i x = Bytes::load(a).lanes;
    if constexpr (max_quant > 127) {  // pairs would saturate; whole dwords do not
      const __m256i dots = _mm256_dpbusd_epi32(_mm256_setzero_si256(), quants.lanes, x);
      const __m256i wide = _mm256_srai_epi32(_mm256_slli_epi32(scales.lanes, 16), 16);
      return {_mm256_add_epi32(sum.lanes, _mm256_mullo_epi32(dots, wide))};
    }
    return {_mm256_dpwssd_epi32(sum.lanes, _mm256_maddubs_epi16(quants.lanes, x), scales.lanes)};
  }
  [[gnu::always_inline]] static Sums dot_words(Sums sum, Words a, Words b) {
    return {_mm256_dpwssd_epi32(sum.lanes, a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] static Ints reduce_rows(const Sums* rows) {
    const __m512i a = reduce_8_rows(rows), b = reduce_8_rows(rows + 8);
    return {_mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd))};
  }
  [[gnu::always_inline]] static Floats gather_f16(const uint8_t* const* rows, size_t offset) {
    const auto at = [=](int r) {
      int16_t half;
      __builtin_memcpy(&half, rows[r] + offset, 2);
      return half;
    };
    return {_mm512_cvtph_ps(_mm256_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6),
                                              at(7), at(8), at(9), at(10), at(11), at(12), at(13),
                                              at(14), at(15)))};
  }

  template <int max_quant>
  [[gnu::always_inline]] static void store_panel(const Bytes* rows, uint8_t* panel) {
    __m256i ready[16];
    for (int r = 0; r < 16; ++r) ready[r] = rows[r].lanes;
    transpose_16x8(ready, panel);
  }
  [[gnu::always_inline]] static void store_pairs(const Words* rows, int32_t* pairs) {
    __m256i ready[16];
    for (int r = 0; r < 16; ++r) ready[r] = rows[r].lanes;
    transpose_16x8(ready, pairs);
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
    return {_mm512_dpbusd_epi32(partial.lanes, quants.lanes, _mm512_set1_epi32(four))};
  }
  [[gnu::always_inline]] static Ints add_partial(Ints sum, Ints partial) { return sum + partial; }
  [[gnu::always_inline]] static Ints add_scaled(Ints sum, Ints partial, Ints scale) {
    return sum + partial * scale;
  }
  [[gnu::always_inline]] static Ints step_pairs(Ints sum, Ints pairs, const int16_t* a) {
    int32_t two;
    __builtin_memcpy(&two, a, 4);
    return {_mm512_dpwssd_epi32(sum.lanes, pairs.lanes, _mm512_set1_epi32(two))};
  }
};

}  // namespace
}  // namespace larder::quant::avx512_vnni
