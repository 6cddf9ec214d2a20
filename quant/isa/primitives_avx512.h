// The vocabulary of primitives_scalar.h (meaning, protocol, linkage) on AVX-512 F, BW, DQ, VL and
// VNNI: 16 lanes are one register.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <xsimd/xsimd.hpp>

namespace larder::quant::avx512_vnni {
namespace {

using FloatBatch = xsimd::batch<float, xsimd::avx512f>;
using IntBatch = xsimd::batch<int32_t, xsimd::avx512f>;

struct Mask {
  __mmask16 bits;

  [[gnu::always_inline]] friend Mask operator&(Mask a, Mask b) {
    return {_kand_mask16(a.bits, b.bits)};
  }
  [[gnu::always_inline]] friend Mask operator|(Mask a, Mask b) {
    return {_kor_mask16(a.bits, b.bits)};
  }
  [[gnu::always_inline]] friend Mask operator~(Mask a) { return {_knot_mask16(a.bits)}; }
};

[[gnu::always_inline]] inline uint32_t lane_bits(Mask m) { return m.bits; }

// The first n of 16 lanes.
[[gnu::always_inline]] inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>((1u << n) - 1);
}

struct Ints {
  IntBatch lanes;

  [[gnu::always_inline]] static Ints zero() { return {_mm512_setzero_si512()}; }
  [[gnu::always_inline]] static Ints broadcast(int32_t x) { return {IntBatch(x)}; }
  [[gnu::always_inline]] static Ints iota() {
    return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
  }
  [[gnu::always_inline]] static Ints load(const int32_t* p) {
    return {IntBatch::load_unaligned(p)};
  }
  [[gnu::always_inline]] static Ints load_int8(const int8_t* p) {
    return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  [[gnu::always_inline]] static Ints load_uint8(const uint8_t* p) {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  [[gnu::always_inline]] void store(int32_t* p) const { lanes.store_unaligned(p); }
  [[gnu::always_inline]] void store_int8(int8_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(lanes));
  }

  [[gnu::always_inline]] friend Ints operator+(Ints a, Ints b) { return {a.lanes + b.lanes}; }
  [[gnu::always_inline]] friend Ints operator-(Ints a, Ints b) { return {a.lanes - b.lanes}; }
  [[gnu::always_inline]] friend Ints operator*(Ints a, Ints b) { return {a.lanes * b.lanes}; }
  [[gnu::always_inline]] friend Ints operator&(Ints a, Ints b) { return {a.lanes & b.lanes}; }
  [[gnu::always_inline]] friend Ints operator|(Ints a, Ints b) { return {a.lanes | b.lanes}; }
  [[gnu::always_inline]] friend Ints operator^(Ints a, Ints b) { return {a.lanes ^ b.lanes}; }
};

template <int n>
[[gnu::always_inline]] inline Ints shift_left(Ints a) {
  return {_mm512_slli_epi32(a.lanes, n)};
}
template <int n>
[[gnu::always_inline]] inline Ints shift_right(Ints a) {
  return {_mm512_srli_epi32(a.lanes, n)};
}
template <int n>
[[gnu::always_inline]] inline Ints shift_right_signed(Ints a) {
  return {_mm512_srai_epi32(a.lanes, n)};
}
[[gnu::always_inline]] inline Ints min(Ints a, Ints b) { return {xsimd::min(a.lanes, b.lanes)}; }
[[gnu::always_inline]] inline Ints max(Ints a, Ints b) { return {xsimd::max(a.lanes, b.lanes)}; }
[[gnu::always_inline]] inline int32_t reduce_add(Ints a) {
  return _mm512_reduce_add_epi32(a.lanes);
}
[[gnu::always_inline]] inline Mask equal(Ints a, Ints b) {
  return {_mm512_cmpeq_epi32_mask(a.lanes, b.lanes)};
}
[[gnu::always_inline]] inline Mask less(Ints a, Ints b) {
  return {_mm512_cmplt_epi32_mask(a.lanes, b.lanes)};
}
[[gnu::always_inline]] inline Ints select(Mask m, Ints a, Ints b) {
  return {_mm512_mask_blend_epi32(m.bits, b.lanes, a.lanes)};
}

struct Floats {
  FloatBatch lanes;

  [[gnu::always_inline]] static Floats zero() { return {_mm512_setzero_ps()}; }
  [[gnu::always_inline]] static Floats broadcast(float x) { return {FloatBatch(x)}; }
  [[gnu::always_inline]] static Floats load(const float* p) {
    return {FloatBatch::load_unaligned(p)};
  }
  [[gnu::always_inline]] static Floats load_partial(const float* p, int64_t n) {
    return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
  }
  [[gnu::always_inline]] static Floats from_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  [[gnu::always_inline]] static Floats from_f16_partial(const uint16_t* p, int64_t n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
  }
  [[gnu::always_inline]] static Floats from_bf16(const uint16_t* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
  }
  [[gnu::always_inline]] void store(float* p) const { lanes.store_unaligned(p); }
  [[gnu::always_inline]] void stream(float* p) const { _mm512_stream_ps(p, lanes); }
  [[gnu::always_inline]] void store_partial(float* p, int64_t n) const {
    _mm512_mask_storeu_ps(p, first_lanes(n), lanes);
  }
  [[gnu::always_inline]] void to_f16(uint16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  [[gnu::always_inline]] void to_f16_partial(uint16_t* p, int64_t n) const {
    _mm256_mask_storeu_epi16(p, first_lanes(n),
                             _mm512_cvtps_ph(lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  [[gnu::always_inline]] friend Floats operator+(Floats a, Floats b) { return {a.lanes + b.lanes}; }
  [[gnu::always_inline]] friend Floats operator-(Floats a, Floats b) { return {a.lanes - b.lanes}; }
  [[gnu::always_inline]] friend Floats operator*(Floats a, Floats b) { return {a.lanes * b.lanes}; }
  [[gnu::always_inline]] friend Floats operator/(Floats a, Floats b) { return {a.lanes / b.lanes}; }
  [[gnu::always_inline]] friend Floats operator-(Floats a) {
    return {_mm512_xor_ps(a.lanes, _mm512_set1_ps(-0.0f))};
  }
};

// Not xsimd::fma, which on AVX-512 multiplies and adds apart. Source: xsimd 8.1.
[[gnu::always_inline]] inline Floats fma(Floats a, Floats b, Floats c) {
  return {_mm512_fmadd_ps(a.lanes, b.lanes, c.lanes)};
}
[[gnu::always_inline]] inline Floats min(Floats a, Floats b) {
  return {xsimd::min(a.lanes, b.lanes)};
}
[[gnu::always_inline]] inline Floats max(Floats a, Floats b) {
  return {xsimd::max(a.lanes, b.lanes)};
}
[[gnu::always_inline]] inline Floats abs(Floats a) {
  return {_mm512_and_ps(a.lanes, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff)))};
}
[[gnu::always_inline]] inline Floats sqrt(Floats a) { return {xsimd::sqrt(a.lanes)}; }
[[gnu::always_inline]] inline Mask less(Floats a, Floats b) {
  return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_LT_OQ)};
}
[[gnu::always_inline]] inline Mask equal(Floats a, Floats b) {
  return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_EQ_OQ)};
}
[[gnu::always_inline]] inline Mask is_nan(Floats a) {
  return {_mm512_cmp_ps_mask(a.lanes, a.lanes, _CMP_UNORD_Q)};
}
[[gnu::always_inline]] inline Floats select(Mask m, Floats a, Floats b) {
  return {_mm512_mask_blend_ps(m.bits, b.lanes, a.lanes)};
}

[[gnu::always_inline]] inline float reduce_add(Floats a) {
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(a.lanes), _mm512_extractf32x8_ps(a.lanes, 1));
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
[[gnu::always_inline]] inline float reduce_max(Floats a) {
  const __m256 eight =
      _mm256_max_ps(_mm512_castps512_ps256(a.lanes), _mm512_extractf32x8_ps(a.lanes, 1));
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

[[gnu::always_inline]] inline Floats to_float(Ints a) { return {_mm512_cvtepi32_ps(a.lanes)}; }
[[gnu::always_inline]] inline Ints round_to_int(Floats a) { return {_mm512_cvtps_epi32(a.lanes)}; }
[[gnu::always_inline]] inline Ints bits_of(Floats a) { return {_mm512_castps_si512(a.lanes)}; }
[[gnu::always_inline]] inline Floats from_bits(Ints a) { return {_mm512_castsi512_ps(a.lanes)}; }

// Floats i and i + 8 of a, then of b, added; then i and i + 4 of four; i and i + 2 of eight; and so
// on: what reduce_add does, of several vectors in one.
[[gnu::always_inline]] inline __m512 add_halves(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
[[gnu::always_inline]] inline __m512 add_quarters(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
[[gnu::always_inline]] inline __m512 add_eighths(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
[[gnu::always_inline]] inline __m512 add_sixteenths(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

struct Avx512Vnni {
  using Floats = avx512_vnni::Floats;
  using Ints = avx512_vnni::Ints;
  using Mask = avx512_vnni::Mask;
  static constexpr int kTileSide = 4;

  [[gnu::always_inline]] static void reduce_tile(const Floats* sums, float* out) {
    // Lane 4 i + j of the result comes from the j-th of these fours, and of it from the i-th.
    const auto four = [=](int j) __attribute__((always_inline)) {
      return add_quarters(add_halves(sums[j].lanes, sums[j + 4].lanes),
                          add_halves(sums[j + 8].lanes, sums[j + 12].lanes));
    };
    const __m512 low = add_eighths(four(0), four(1)), high = add_eighths(four(2), four(3));
    _mm512_storeu_ps(out, add_sixteenths(low, high));
  }

  [[gnu::always_inline]] static float widen_f16(uint16_t half) { return _cvtsh_ss(half); }
  [[gnu::always_inline]] static float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
  }
  [[gnu::always_inline]] static void prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
  }
  [[gnu::always_inline]] static void fence_streams() { _mm_sfence(); }
  [[gnu::always_inline]] static void prefetch_far(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
  }
};

}  // namespace
}  // namespace larder::quant::avx512_vnni
