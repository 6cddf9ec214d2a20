// The vocabulary of int8_scalar.h on AVX-512 VNNI. vpdpbusd: 64 products an instruction, throughput
// 1 (Zen 4, Ice Lake) or 2 (Zen 5) a cycle, latency 4.
#pragma once

#include "quant/isa/int8_256.h"
#include "quant/isa/primitives_avx512.h"

namespace larder::quant::avx512_vnni {
namespace {

// a's rows in the low half, b's in the high half.
[[gnu::always_inline]] inline __m512i join(__m256i a, __m256i b) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
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

  [[gnu::always_inline]] static Ints look_up_bytes(const uint8_t* table, Ints x) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), x.lanes)};
  }
  static constexpr int kTilePanels = 2, kTileTokens = 6;
  static constexpr int kRowTokens = 4;
  template <int max_quant>
  static constexpr int offset_left(int offset) {
    return offset;
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
  [[gnu::always_inline]] static void load_columns(const uint8_t* const* rows, size_t offset,
                                                  Ints* columns) {
    const auto four_rows = [=](int r) __attribute__((always_inline)) {
      const auto at = [=](int row) __attribute__((always_inline)) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset));
      };
      __m512i all = _mm512_castsi128_si512(at(r));
      all = _mm512_inserti32x4(all, at(r + 4), 1);
      all = _mm512_inserti32x4(all, at(r + 8), 2);
      return _mm512_inserti32x4(all, at(r + 12), 3);
    };
    const __m512i r0 = four_rows(0), r1 = four_rows(1), r2 = four_rows(2), r3 = four_rows(3);
    const __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
    const __m512i c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);
    columns[0] = {_mm512_unpacklo_epi64(a, c)};
    columns[1] = {_mm512_unpackhi_epi64(a, c)};
    columns[2] = {_mm512_unpacklo_epi64(b, d)};
    columns[3] = {_mm512_unpackhi_epi64(b, d)};
  }
  [[gnu::always_inline]] static Floats low_f16(Ints x) {
    return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x.lanes))};
  }
  [[gnu::always_inline]] static Floats high_f16(Ints x) { return low_f16(shift_right<16>(x)); }
  [[gnu::always_inline]] static Ints low_scale(Ints pairs) {
    return shift_right_signed<16>(shift_left<16>(pairs));
  }
  [[gnu::always_inline]] static Ints high_scale(Ints pairs) {
    return shift_right_signed<16>(pairs);
  }

  static constexpr bool kUnpacksInStep = true;
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
