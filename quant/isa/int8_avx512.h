// The vocabulary of int8_scalar.h on AVX-512 VNNI. Panels: vpdpbusd, 64 products an instruction,
// throughput 1 (Zen 4, Ice Lake) or 2 (Zen 5) a cycle, latency 4. Rows: unpacked 32 quants at a
// time, multiplied 64 at a time: vpmaddubsw, then vpdpwssd, which multiplies by the scales.
#pragma once

#include "quant/isa/dot.h"
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

// a in the low half, b in the high half.
[[gnu::always_inline]] inline __m512i halves(int64_t a, int64_t b) {
  return _mm512_setr_epi64(a, a, a, a, b, b, b, b);
}

struct Pair {
  __m512i lanes;

  [[gnu::always_inline]] static Pair broadcast(uint8_t x) {
    return {_mm512_set1_epi8(static_cast<char>(x))};
  }
  [[gnu::always_inline]] static Pair load(const uint8_t* p, const uint8_t* q) {
    return {join(Bytes::load(p).lanes, Bytes::load(q).lanes)};
  }
  [[gnu::always_inline]] static Pair load_nibbles(const uint8_t* p, const uint8_t* q) {
    const auto twice = [](const uint8_t* from) __attribute__((always_inline)) {
      return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    };
    const __m512i shifts = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    return Pair{_mm512_srlv_epi64(join(twice(p), twice(q)), shifts)} & broadcast(15);
  }
  [[gnu::always_inline]] static Pair spread_bits(const uint8_t* p, const uint8_t* q,
                                                 uint8_t value) {
    uint32_t low, high;
    __builtin_memcpy(&low, p, 4);
    __builtin_memcpy(&high, q, 4);
    return {_mm512_maskz_mov_epi8(uint64_t{high} << 32 | low, broadcast(value).lanes)};
  }
  [[gnu::always_inline]] friend Pair operator^(Pair a, Pair b) {
    return {_mm512_xor_si512(a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] friend Pair operator&(Pair a, Pair b) {
    return {_mm512_and_si512(a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] friend Pair operator|(Pair a, Pair b) {
    return {_mm512_or_si512(a.lanes, b.lanes)};
  }
};
[[gnu::always_inline]] inline Pair look_up(const uint8_t* table, Pair a) {
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), a.lanes)};
}

struct Avx512VnniInt8 : Avx512Vnni {
  using Bytes = quant::Bytes;
  using Pair = avx512_vnni::Pair;
  using Words = quant::Words;
  using Sums = quant::Sums;

  static constexpr int kTilePanels = 2, kTileTokens = 6;
  static constexpr int kRowTokens = 4;
  template <int max_quant>
  static constexpr int offset_left(int offset) {
    return offset;
  }

  struct WideSums {
    __m512i lanes;
    [[gnu::always_inline]] static WideSums zero() { return {_mm512_setzero_si512()}; }
  };
  [[gnu::always_inline]] static Sums narrow(WideSums sums) {
    return {_mm256_add_epi32(_mm512_castsi512_si256(sums.lanes),
                             _mm512_extracti64x4_epi64(sums.lanes, 1))};
  }
  template <int max_quant, int group, int i>
  [[gnu::always_inline]] static WideSums dot_scaled_64(WideSums sum, Pair pair, const int8_t* a,
                                                       Words scales) {
    const __m512i quants = pair.lanes, x = _mm512_loadu_si512(a);
    const __m512i all = _mm512_castsi256_si512(scales.lanes);
    constexpr int kPer64 = 64 / group;
    const auto words_of = [](int quarter) {  // which scale a quarter of 16 quants has, four times
      return int64_t{0x0001'0001'0001'0001} * (kPer64 * i + quarter * kPer64 / 4);
    };
    const __m512i words = _mm512_setr_epi64(words_of(0), words_of(0), words_of(1), words_of(1),
                                            words_of(2), words_of(2), words_of(3), words_of(3));
    const __m512i spread = _mm512_permutexvar_epi16(words, all);
    if constexpr (max_quant > 127) {  // pairs would saturate; whole dwords do not
      const __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), quants, x);
      const __m512i wide = _mm512_srai_epi32(spread, 16);
      return {_mm512_add_epi32(sum.lanes, _mm512_mullo_epi32(dots, wide))};
    }
    return {_mm512_dpwssd_epi32(sum.lanes, _mm512_maddubs_epi16(quants, x), spread)};
  }
  // Bits keep their places in bytes if quadwords are rotated; what comes from other bytes is
  // masked.
  template <BitField first, BitField second>
  [[gnu::always_inline]] static Pair pair_of_bits(const uint8_t* block) {
    static_assert(first.mask == second.mask && first.to == second.to);
    static_assert(first.chunk == second.chunk || first.chunk + 32 == second.chunk);
    const uint8_t* p = block + first.chunk;
    __m512i bytes;
    if constexpr (first.chunk == second.chunk) {
      bytes = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    } else {
      bytes = _mm512_loadu_si512(p);
    }
    constexpr int low = first.from - first.to, high = second.from - second.to;
    if constexpr (low != 0 || high != 0) {
      bytes = _mm512_rorv_epi64(bytes, halves(low & 63, high & 63));
    }
    return Pair{bytes} & Pair::broadcast(static_cast<uint8_t>(first.mask << first.to));
  }
  struct PairSums {
    __m512i lanes;
  };
  template <int max_quant>
  [[gnu::always_inline]] static PairSums dot_pair(Pair quants, const int8_t* a, const int8_t* b) {
    const __m512i x = join(Bytes::load(a).lanes, Bytes::load(b).lanes);
    return {_mm512_dpbusd_epi32(_mm512_setzero_si512(), quants.lanes, x)};
  }
  struct Reduced {
    Ints first, second;
  };
  [[gnu::always_inline]] static Reduced reduce_pairs(const PairSums* rows) {
    // Quarters of 4 rows: two that make the first's totals, two that make the second's.
    const auto four = [=](int r) __attribute__((always_inline)) {
      return add_neighbours(add_neighbours(rows[r].lanes, rows[r + 2].lanes),
                            add_neighbours(rows[r + 1].lanes, rows[r + 3].lanes));
    };
    // Of 8 rows: first, second of 4, then of the other 4.
    const auto eight = [=](int r) __attribute__((always_inline)) {
      const __m512i a = four(r), b = four(r + 4);
      return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
    };
    const __m512i low = eight(0), high = eight(8);
    return {{_mm512_shuffle_i32x4(low, high, 0x88)}, {_mm512_shuffle_i32x4(low, high, 0xdd)}};
  }
  [[gnu::always_inline]] static Sums dot_words(Sums sum, Words a, Words b) {
    return {_mm256_dpwssd_epi32(sum.lanes, a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] static Ints reduce_rows(const Sums* rows) {
    const __m512i a = reduce_8_rows(rows), b = reduce_8_rows(rows + 8);
    return {_mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd))};
  }
  // Lane c of row r and lane r of row c change places.
  [[gnu::always_inline]] static void transpose_16x16(Ints* rows) {
    __m512i quads[4][4];  // [rows 4 h to 4 h + 3][lanes i, i + 4, i + 8 and i + 12]
    for (int h = 0; h < 4; ++h) {
      const Ints* r = rows + 4 * h;
      const __m512i a = _mm512_unpacklo_epi32(r[0].lanes, r[1].lanes);
      const __m512i b = _mm512_unpackhi_epi32(r[0].lanes, r[1].lanes);
      const __m512i c = _mm512_unpacklo_epi32(r[2].lanes, r[3].lanes);
      const __m512i d = _mm512_unpackhi_epi32(r[2].lanes, r[3].lanes);
      quads[h][0] = _mm512_unpacklo_epi64(a, c);
      quads[h][1] = _mm512_unpackhi_epi64(a, c);
      quads[h][2] = _mm512_unpacklo_epi64(b, d);
      quads[h][3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; ++i) {
      const __m512i a = _mm512_shuffle_i32x4(quads[0][i], quads[1][i], 0x88);
      const __m512i b = _mm512_shuffle_i32x4(quads[2][i], quads[3][i], 0x88);
      const __m512i c = _mm512_shuffle_i32x4(quads[0][i], quads[1][i], 0xdd);
      const __m512i d = _mm512_shuffle_i32x4(quads[2][i], quads[3][i], 0xdd);
      rows[i] = {_mm512_shuffle_i32x4(a, b, 0x88)};
      rows[i + 4] = {_mm512_shuffle_i32x4(c, d, 0x88)};
      rows[i + 8] = {_mm512_shuffle_i32x4(a, b, 0xdd)};
      rows[i + 12] = {_mm512_shuffle_i32x4(c, d, 0xdd)};
    }
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

  [[gnu::always_inline]] static Ints look_up_bytes(const uint8_t* table, Ints x) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), x.lanes)};
  }

  static constexpr bool kUnpacksInStep = true;
  template <int max_quant>
  static constexpr bool transposes_rows() {
    return true;
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
