// The vocabulary of int8_scalar.h on AVX2. Dots go through 16-bit pairs (vpmaddubsw): the partial
// sums of a panel stay 16 bits wide as long as they are exact, and the widening multiply-add that
// ends them (vpmaddwd) multiplies by the scale on the way.
// vpmaddubsw saturates when quants reach 8 bits; those are kept signed instead, and multiplied as
// |w| * (a with the sign of w).
#pragma once

#include "quant/isa/dot.h"
#include "quant/isa/int8_256.h"
#include "quant/isa/primitives_avx2.h"

namespace larder::quant::avx2 {
namespace {

// a0 + a1 and so on of four neighbouring lanes: pairs of vectors become one.
[[gnu::always_inline]] inline __m256i add_neighbours(__m256i a, __m256i b) {
  return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
// Totals of 4 rows: lane r of each 128-bit half is half the total of row r.
[[gnu::always_inline]] inline __m256i reduce_4_rows(const Sums* rows) {
  const __m256i even = add_neighbours(rows[0].lanes, rows[2].lanes);
  const __m256i odd = add_neighbours(rows[1].lanes, rows[3].lanes);
  return add_neighbours(even, odd);
}
[[gnu::always_inline]] inline __m256i reduce_8_rows(const Sums* rows) {
  const __m256i a = reduce_4_rows(rows), b = reduce_4_rows(rows + 4);
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

// Rows of 8 dwords to columns: dword i of row r goes to columns[i * stride] lane r.
[[gnu::always_inline]] inline void transpose_8x8(const __m256i* rows, __m256i* columns,
                                                 int stride) {
  __m256i quads[2][4];  // [rows 4 h to 4 h + 3][dwords i and i + 4]
  for (int h = 0; h < 2; ++h) {
    const __m256i* r = rows + 4 * h;
    const __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
    const __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
    quads[h][0] = _mm256_unpacklo_epi64(a, c);
    quads[h][1] = _mm256_unpackhi_epi64(a, c);
    quads[h][2] = _mm256_unpacklo_epi64(b, d);
    quads[h][3] = _mm256_unpackhi_epi64(b, d);
  }
  for (int i = 0; i < 4; ++i) {
    const __m256i low = _mm256_permute2x128_si256(quads[0][i], quads[1][i], 0x20);
    const __m256i high = _mm256_permute2x128_si256(quads[0][i], quads[1][i], 0x31);
    _mm256_storeu_si256(columns + i * stride, low);
    _mm256_storeu_si256(columns + (i + 4) * stride, high);
  }
}

struct Avx2Int8 : Avx2 {
  using Bytes = quant::Bytes;
  using Words = quant::Words;
  using Sums = quant::Sums;
  using Pair = BytePair<Bytes>;

  static constexpr int kTilePanels = 1, kTileTokens = 3;
  static constexpr int kRowTokens = 4;
  template <int max_quant>
  static constexpr bool is_kept_signed() {
    return max_quant > 127;
  }
  template <int max_quant>
  static constexpr int offset_left(int offset) {
    return is_kept_signed<max_quant>() ? offset - 128 : offset;
  }

  // Sums of two neighbouring products, in 16 bits.
  template <int max_quant>
  [[gnu::always_inline]] static __m256i multiply_pairs(__m256i quants, __m256i a) {
    if constexpr (is_kept_signed<max_quant>()) {
      return _mm256_maddubs_epi16(_mm256_abs_epi8(quants), _mm256_sign_epi8(a, quants));
    }
    return _mm256_maddubs_epi16(quants, a);
  }
  template <int max_quant>
  [[gnu::always_inline]] static __m256i signed_if_needed(Bytes quants) {
    if constexpr (is_kept_signed<max_quant>()) return (quants ^ Bytes::broadcast(0x80)).lanes;
    return quants.lanes;
  }

  template <int max_quant>
  [[gnu::always_inline]] static Sums dot(Bytes quants, const int8_t* a) {
    return dot_scaled<max_quant>(Sums::zero(), quants, a, Words::broadcast(1));
  }
  struct PairSums {
    Sums first, second;
  };
  template <int max_quant>
  [[gnu::always_inline]] static PairSums dot_pair(Pair quants, const int8_t* a, const int8_t* b) {
    return {dot<max_quant>(quants.first, a), dot<max_quant>(quants.second, b)};
  }
  template <int group, int i>
  [[gnu::always_inline]] static Words spread(Words scales) {
    const int first = group == 32 ? i : 2 * i % 8, second = group == 32 ? i : first + 1;
    const __m256i half = group == 32 || i < 4 ? _mm256_permute4x64_epi64(scales.lanes, 0x44)
                                              : _mm256_permute4x64_epi64(scales.lanes, 0xee);
    const __m256i bytes_of_word =
        _mm256_setr_m128i(_mm_set1_epi16(static_cast<int16_t>((2 * first + 1) << 8 | 2 * first)),
                          _mm_set1_epi16(static_cast<int16_t>((2 * second + 1) << 8 | 2 * second)));
    return {_mm256_shuffle_epi8(half, bytes_of_word)};
  }
  using WideSums = Sums;
  [[gnu::always_inline]] static Sums narrow(WideSums sums) { return sums; }
  template <int max_quant, int group, int i>
  [[gnu::always_inline]] static WideSums dot_scaled_64(WideSums sum, Pair quants, const int8_t* a,
                                                       Words scales) {
    sum = dot_scaled<max_quant>(sum, quants.first, a, spread<group, 2 * i>(scales));
    return dot_scaled<max_quant>(sum, quants.second, a + 32, spread<group, 2 * i + 1>(scales));
  }
  template <BitField first, BitField second>
  [[gnu::always_inline]] static Pair pair_of_bits(const uint8_t* block) {
    return quant::pair_of_bits<first, second, Bytes>(block);
  }
  template <int max_quant>
  [[gnu::always_inline]] static Sums dot_scaled(Sums sum, Bytes quants, const int8_t* a,
                                                Words scales) {
    const __m256i pairs =
        multiply_pairs<max_quant>(signed_if_needed<max_quant>(quants), Bytes::load(a).lanes);
    return {_mm256_add_epi32(sum.lanes, _mm256_madd_epi16(pairs, scales.lanes))};
  }
  [[gnu::always_inline]] static Sums dot_words(Sums sum, Words a, Words b) {
    return {_mm256_add_epi32(sum.lanes, _mm256_madd_epi16(a.lanes, b.lanes))};
  }
  [[gnu::always_inline]] static Ints reduce_rows(const Sums* rows) {
    return {reduce_8_rows(rows), reduce_8_rows(rows + 8)};
  }
  struct Reduced {
    Ints first, second;
  };
  [[gnu::always_inline]] static Reduced reduce_pairs(const PairSums* rows) {
    Sums first[16], second[16];
    for (int r = 0; r < 16; ++r) {
      first[r] = rows[r].first;
      second[r] = rows[r].second;
    }
    return {reduce_rows(first), reduce_rows(second)};
  }
  [[gnu::always_inline]] static void transpose_16x16(Ints* rows) {
    __m256i halves[2][kPanelRows];  // lanes 0 to 7, lanes 8 to 15
    for (int r = 0; r < kPanelRows; ++r) {
      halves[0][r] = rows[r].low;
      halves[1][r] = rows[r].high;
    }
    auto* const columns = reinterpret_cast<__m256i*>(rows);
    for (int h = 0; h < 2; ++h) {
      transpose_8x8(halves[h], columns + 16 * h, 2);
      transpose_8x8(halves[h] + 8, columns + 16 * h + 1, 2);
    }
  }
  [[gnu::always_inline]] static Floats gather_f16(const uint8_t* const* rows, size_t offset) {
    const auto at = [=](int r) {
      int16_t half;
      __builtin_memcpy(&half, rows[r] + offset, 2);
      return half;
    };
    return {_mm256_cvtph_ps(_mm_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7))),
            _mm256_cvtph_ps(
                _mm_setr_epi16(at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15)))};
  }

  template <int max_quant>
  [[gnu::always_inline]] static void store_panel(const Bytes* rows, uint8_t* panel) {
    __m256i ready[16];
    for (int r = 0; r < 16; ++r) ready[r] = signed_if_needed<max_quant>(rows[r]);
    auto* vectors = reinterpret_cast<__m256i*>(panel);
    transpose_8x8(ready, vectors, 2);
    transpose_8x8(ready + 8, vectors + 1, 2);
  }
  [[gnu::always_inline]] static void store_pairs(const Words* rows, int32_t* pairs) {
    __m256i ready[16];
    for (int r = 0; r < 16; ++r) ready[r] = rows[r].lanes;
    auto* vectors = reinterpret_cast<__m256i*>(pairs);
    transpose_8x8(ready, vectors, 2);
    transpose_8x8(ready + 8, vectors + 1, 2);
  }
  [[gnu::always_inline]] static void load_columns(const uint8_t* const* rows, size_t offset,
                                                  Ints* columns) {
    const auto two_rows = [=](int r) __attribute__((always_inline)) {
      const auto* low = reinterpret_cast<const __m128i*>(rows[r] + offset);
      const auto* high = reinterpret_cast<const __m128i*>(rows[r + 4] + offset);
      return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                     _mm_loadu_si128(high), 1);
    };
    const auto eight_rows = [=](int r, __m256i* out) __attribute__((always_inline)) {
      const __m256i r0 = two_rows(r), r1 = two_rows(r + 1);
      const __m256i r2 = two_rows(r + 2), r3 = two_rows(r + 3);
      const __m256i a = _mm256_unpacklo_epi32(r0, r1), b = _mm256_unpackhi_epi32(r0, r1);
      const __m256i c = _mm256_unpacklo_epi32(r2, r3), d = _mm256_unpackhi_epi32(r2, r3);
      out[0] = _mm256_unpacklo_epi64(a, c);
      out[1] = _mm256_unpackhi_epi64(a, c);
      out[2] = _mm256_unpacklo_epi64(b, d);
      out[3] = _mm256_unpackhi_epi64(b, d);
    };
    __m256i low[4], high[4];
    eight_rows(0, low);
    eight_rows(8, high);
    for (int i = 0; i < 4; ++i) columns[i] = {low[i], high[i]};
  }
  [[gnu::always_inline]] static Floats low_f16(Ints x) {
    const Ints low = x & Ints::broadcast(0xffff);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low.low, low.high), 0xd8);
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(words)),
            _mm256_cvtph_ps(_mm256_extracti128_si256(words, 1))};
  }
  [[gnu::always_inline]] static Floats high_f16(Ints x) { return low_f16(shift_right<16>(x)); }
  // A scale twice, for both 16-bit partial sums of a row.
  [[gnu::always_inline]] static Ints low_scale(Ints pairs) {
    return shift_left<16>(pairs) | (pairs & Ints::broadcast(0xffff));
  }
  [[gnu::always_inline]] static Ints high_scale(Ints pairs) {
    return shift_right<16>(pairs) | (pairs & Ints::broadcast(static_cast<int32_t>(0xffff0000)));
  }

  [[gnu::always_inline]] static Ints look_up_bytes(const uint8_t* table, Ints x) {
    const __m256i entries =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    return {_mm256_shuffle_epi8(entries, x.low), _mm256_shuffle_epi8(entries, x.high)};
  }

  static constexpr bool kUnpacksInStep = false;
  template <int max_quant>
  static constexpr bool transposes_rows() {
    return !is_kept_signed<max_quant>();
  }
  // 2 products of at most max_quant * 127 a step (128 * 127 where quants are kept signed).
  template <int max_quant>
  static constexpr int steps_exact() {
    return is_kept_signed<max_quant>() ? 1 : 32767 / (2 * max_quant * 127);
  }
  template <int max_quant>
  [[gnu::always_inline]] static Ints step(Ints partial, Ints quants, const int8_t* a) {
    int32_t four;
    __builtin_memcpy(&four, a, 4);
    const __m256i x = _mm256_set1_epi32(four);
    __m256i low = _mm256_add_epi16(partial.low, multiply_pairs<max_quant>(quants.low, x));
    __m256i high = _mm256_add_epi16(partial.high, multiply_pairs<max_quant>(quants.high, x));
    // Left to itself, GCC 12 makes all products of a panel's step first, in memory for want of
    // registers, and adds them up then.
    asm volatile("" : "+x"(low), "+x"(high));
    return {low, high};
  }
  [[gnu::always_inline]] static Ints add_partial(Ints sum, Ints partial) {
    return add_scaled(sum, partial, Ints::broadcast(0x10001));
  }
  [[gnu::always_inline]] static Ints add_scaled(Ints sum, Ints partial, Ints scale) {
    return {_mm256_add_epi32(sum.low, _mm256_madd_epi16(partial.low, scale.low)),
            _mm256_add_epi32(sum.high, _mm256_madd_epi16(partial.high, scale.high))};
  }
  [[gnu::always_inline]] static Ints step_pairs(Ints sum, Ints pairs, const int16_t* a) {
    int32_t two;
    __builtin_memcpy(&two, a, 4);
    return add_scaled(sum, pairs, Ints::broadcast(two));
  }
};

}  // namespace
}  // namespace larder::quant::avx2
