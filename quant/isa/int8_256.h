// Rows of quants in 256-bit registers: what AVX2 and AVX-512 have in common of the vocabulary of
// int8_scalar.h. Each shell compiles its own copy, by its own flags, in an unnamed namespace.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace larder::quant {
namespace {

struct Bytes {
  __m256i lanes;

  [[gnu::always_inline]] static Bytes broadcast(uint8_t x) {
    return {_mm256_set1_epi8(static_cast<char>(x))};
  }
  [[gnu::always_inline]] static Bytes load(const void* p) {
    return {_mm256_loadu_si256(static_cast<const __m256i*>(p))};
  }
  [[gnu::always_inline]] static Bytes load_nibbles(const uint8_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i both =
        _mm256_inserti128_si256(_mm256_castsi128_si256(x), _mm_srli_epi16(x, 4), 1);
    return {_mm256_and_si256(both, _mm256_set1_epi8(15))};
  }
  [[gnu::always_inline]] static Bytes spread_bits(const uint8_t* p, uint8_t value) {
    int32_t bits;
    __builtin_memcpy(&bits, p, 4);
    const __m256i byte_of_lane =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of_lane = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of_lane);
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of_lane), bit_of_lane);
    return {_mm256_and_si256(is_set, _mm256_set1_epi8(static_cast<char>(value)))};
  }

  [[gnu::always_inline]] friend Bytes operator&(Bytes a, Bytes b) {
    return {_mm256_and_si256(a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] friend Bytes operator|(Bytes a, Bytes b) {
    return {_mm256_or_si256(a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] friend Bytes operator^(Bytes a, Bytes b) {
    return {_mm256_xor_si256(a.lanes, b.lanes)};
  }
};

template <int n>
[[gnu::always_inline]] inline Bytes shift_left(Bytes a) {
  return {_mm256_slli_epi16(a.lanes, n)};
}
template <int n>
[[gnu::always_inline]] inline Bytes shift_right(Bytes a) {
  return {_mm256_srli_epi16(a.lanes, n)};
}
[[gnu::always_inline]] inline Bytes look_up(const uint8_t* table, Bytes a) {
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), a.lanes)};
}

struct Words {
  __m256i lanes;

  [[gnu::always_inline]] static Words broadcast(int16_t x) { return {_mm256_set1_epi16(x)}; }
  [[gnu::always_inline]] static Words load(const int16_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  [[gnu::always_inline]] static Words from_uint8(const uint8_t* p) {
    return {_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  [[gnu::always_inline]] static Words from_int8(const int8_t* p) {
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  [[gnu::always_inline]] static Words from_8_bytes(uint64_t x) {
    const __m128i words = _mm_cvtepu8_epi16(_mm_cvtsi64_si128(static_cast<int64_t>(x)));
    return {_mm256_zextsi128_si256(words)};
  }
  [[gnu::always_inline]] static Words from_16_bytes(uint64_t low, uint64_t high) {
    const __m128i bytes = _mm_set_epi64x(static_cast<int64_t>(high), static_cast<int64_t>(low));
    return {_mm256_cvtepu8_epi16(bytes)};
  }

  // Eight 6-bit scales and minimums out of 12 bytes b (block.h, ScalesAndMins); scales in words 0
  // to 7, minimums in words 8 to 15. Each half is (b[0..3] & 63, b[8..11] nibble | tops of
  // b[0..3]), with b[4..7] for b[0..3] in the upper half. Bytes go to the high ends of words, so
  // that multiplying by 2^(8 - n) and keeping the high half shifts right by n. Reads 16 bytes: a
  // super-block goes on behind its scales.
  [[gnu::always_inline]] static Words from_6_bit_scales(const uint8_t* p) {
    const __m256i b =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i first_of_word =
        _mm256_setr_epi8(-1, 0, -1, 1, -1, 2, -1, 3, -1, 8, -1, 9, -1, 10, -1, 11,  //
                         -1, 4, -1, 5, -1, 6, -1, 7, -1, 8, -1, 9, -1, 10, -1, 11);
    const __m256i tops_of_word =
        _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, 0, -1, 1, -1, 2, -1, 3,  //
                         -1, -1, -1, -1, -1, -1, -1, -1, -1, 4, -1, 5, -1, 6, -1, 7);
    const __m256i shifts = _mm256_setr_epi16(256, 256, 256, 256, 256, 256, 256, 256,  //
                                             256, 256, 256, 256, 16, 16, 16, 16);
    const __m256i mask = _mm256_setr_epi16(63, 63, 63, 63, 15, 15, 15, 15,  //
                                           63, 63, 63, 63, 15, 15, 15, 15);
    const __m256i low =
        _mm256_and_si256(_mm256_mulhi_epu16(_mm256_shuffle_epi8(b, first_of_word), shifts), mask);
    const __m256i tops = _mm256_and_si256(
        _mm256_srli_epi16(_mm256_shuffle_epi8(b, tops_of_word), 10), _mm256_set1_epi16(0x30));
    return {_mm256_or_si256(low, tops)};
  }

  [[gnu::always_inline]] friend Words operator-(Words a, Words b) {
    return {_mm256_sub_epi16(a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] friend Words operator*(Words a, Words b) {
    return {_mm256_mullo_epi16(a.lanes, b.lanes)};
  }
  [[gnu::always_inline]] friend Words operator&(Words a, Words b) {
    return {_mm256_and_si256(a.lanes, b.lanes)};
  }
};
template <int n>
[[gnu::always_inline]] inline Words shift_right(Words a) {
  return {_mm256_srli_epi16(a.lanes, n)};
}

[[gnu::always_inline]] inline Words low_words(Words a) {  // the upper 8 become zeros
  return {_mm256_zextsi128_si256(_mm256_castsi256_si128(a.lanes))};
}
[[gnu::always_inline]] inline Words high_words(Words a) {  // words 8 to 15, then zeros
  return {_mm256_zextsi128_si256(_mm256_extracti128_si256(a.lanes, 1))};
}

struct Sums {
  __m256i lanes;
  [[gnu::always_inline]] static Sums zero() { return {_mm256_setzero_si256()}; }
};

}  // namespace
}  // namespace larder::quant
