// The vocabulary of primitives_scalar.h (meaning, protocol, linkage) on AVX2, FMA and F16C: 16
// lanes are two registers.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <xsimd/xsimd.hpp>

namespace larder::quant::avx2 {
namespace {

using FloatBatch = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;
using IntBatch = xsimd::batch<int32_t, xsimd::avx2>;

// All ones in the first n of 8 lanes.
[[gnu::always_inline]] inline __m256i first_lanes(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

struct Mask {
  __m256 low, high;  // all ones or all zeros a lane

  [[gnu::always_inline]] friend Mask operator&(Mask a, Mask b) {
    return {_mm256_and_ps(a.low, b.low), _mm256_and_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] friend Mask operator|(Mask a, Mask b) {
    return {_mm256_or_ps(a.low, b.low), _mm256_or_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] friend Mask operator~(Mask a) {
    const __m256 ones = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return {_mm256_xor_ps(a.low, ones), _mm256_xor_ps(a.high, ones)};
  }
};

[[gnu::always_inline]] inline uint32_t lane_bits(Mask m) {
  return static_cast<uint32_t>(_mm256_movemask_ps(m.low) | _mm256_movemask_ps(m.high) << 8);
}

struct Ints {
  IntBatch low, high;

  [[gnu::always_inline]] static Ints zero() { return broadcast(0); }
  [[gnu::always_inline]] static Ints broadcast(int32_t x) { return {IntBatch(x), IntBatch(x)}; }
  [[gnu::always_inline]] static Ints iota() {
    return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
  }
  [[gnu::always_inline]] static Ints load(const int32_t* p) {
    return {IntBatch::load_unaligned(p), IntBatch::load_unaligned(p + 8)};
  }
  [[gnu::always_inline]] static Ints load_int8(const int8_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))};
  }
  [[gnu::always_inline]] static Ints load_uint8(const uint8_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))};
  }
  [[gnu::always_inline]] void store(int32_t* p) const {
    low.store_unaligned(p);
    high.store_unaligned(p + 8);
  }
  [[gnu::always_inline]] void store_int8(int8_t* p) const {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

  [[gnu::always_inline]] friend Ints operator+(Ints a, Ints b) {
    return {a.low + b.low, a.high + b.high};
  }
  [[gnu::always_inline]] friend Ints operator-(Ints a, Ints b) {
    return {a.low - b.low, a.high - b.high};
  }
  [[gnu::always_inline]] friend Ints operator*(Ints a, Ints b) {
    return {a.low * b.low, a.high * b.high};
  }
  [[gnu::always_inline]] friend Ints operator&(Ints a, Ints b) {
    return {a.low & b.low, a.high & b.high};
  }
  [[gnu::always_inline]] friend Ints operator|(Ints a, Ints b) {
    return {a.low | b.low, a.high | b.high};
  }
  [[gnu::always_inline]] friend Ints operator^(Ints a, Ints b) {
    return {a.low ^ b.low, a.high ^ b.high};
  }
};

template <int n>
[[gnu::always_inline]] inline Ints shift_left(Ints a) {
  return {_mm256_slli_epi32(a.low, n), _mm256_slli_epi32(a.high, n)};
}
template <int n>
[[gnu::always_inline]] inline Ints shift_right(Ints a) {
  return {_mm256_srli_epi32(a.low, n), _mm256_srli_epi32(a.high, n)};
}
template <int n>
[[gnu::always_inline]] inline Ints shift_right_signed(Ints a) {
  return {_mm256_srai_epi32(a.low, n), _mm256_srai_epi32(a.high, n)};
}
[[gnu::always_inline]] inline Ints min(Ints a, Ints b) {
  return {xsimd::min(a.low, b.low), xsimd::min(a.high, b.high)};
}
[[gnu::always_inline]] inline Ints max(Ints a, Ints b) {
  return {xsimd::max(a.low, b.low), xsimd::max(a.high, b.high)};
}
[[gnu::always_inline]] inline int32_t reduce_add(Ints a) {
  const __m256i eight = a.low + a.high;
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}
[[gnu::always_inline]] inline Mask equal(Ints a, Ints b) {
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.low, b.low)),
          _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.high, b.high))};
}
[[gnu::always_inline]] inline Mask less(Ints a, Ints b) {
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(b.low, a.low)),
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(b.high, a.high))};
}
[[gnu::always_inline]] inline Ints select(Mask m, Ints a, Ints b) {
  return {_mm256_blendv_epi8(b.low, a.low, _mm256_castps_si256(m.low)),
          _mm256_blendv_epi8(b.high, a.high, _mm256_castps_si256(m.high))};
}

struct Floats {
  FloatBatch low, high;

  [[gnu::always_inline]] static Floats zero() { return broadcast(0); }
  [[gnu::always_inline]] static Floats broadcast(float x) { return {FloatBatch(x), FloatBatch(x)}; }
  [[gnu::always_inline]] static Floats load(const float* p) {
    return {FloatBatch::load_unaligned(p), FloatBatch::load_unaligned(p + 8)};
  }
  [[gnu::always_inline]] static Floats load_partial(const float* p, int64_t n) {
    return {_mm256_maskload_ps(p, first_lanes(n)), _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
  }
  [[gnu::always_inline]] static Floats from_f16(const uint16_t* p) {
    const auto* halves = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  }
  [[gnu::always_inline]] static Floats from_f16_partial(const uint16_t* p, int64_t n) {
    uint16_t padded[16] = {};
    for (int64_t i = 0; i < n; ++i) padded[i] = p[i];
    return from_f16(padded);
  }
  [[gnu::always_inline]] static Floats from_bf16(const uint16_t* p) {
    const auto* halves = reinterpret_cast<const __m128i*>(p);
    const __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves));
    const __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
  }
  [[gnu::always_inline]] void store(float* p) const {
    low.store_unaligned(p);
    high.store_unaligned(p + 8);
  }
  [[gnu::always_inline]] void stream(float* p) const {
    _mm256_stream_ps(p, low);
    _mm256_stream_ps(p + 8, high);
  }
  [[gnu::always_inline]] void store_partial(float* p, int64_t n) const {
    _mm256_maskstore_ps(p, first_lanes(n), low);
    _mm256_maskstore_ps(p + 8, first_lanes(n - 8), high);
  }
  [[gnu::always_inline]] void to_f16(uint16_t* p) const {
    auto* halves = reinterpret_cast<__m128i*>(p);
    _mm_storeu_si128(halves, _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT));
  }
  [[gnu::always_inline]] void to_f16_partial(uint16_t* p, int64_t n) const {
    uint16_t all[16];
    to_f16(all);
    for (int64_t i = 0; i < n; ++i) p[i] = all[i];
  }

  [[gnu::always_inline]] friend Floats operator+(Floats a, Floats b) {
    return {a.low + b.low, a.high + b.high};
  }
  [[gnu::always_inline]] friend Floats operator-(Floats a, Floats b) {
    return {a.low - b.low, a.high - b.high};
  }
  [[gnu::always_inline]] friend Floats operator*(Floats a, Floats b) {
    return {a.low * b.low, a.high * b.high};
  }
  [[gnu::always_inline]] friend Floats operator/(Floats a, Floats b) {
    return {a.low / b.low, a.high / b.high};
  }
  [[gnu::always_inline]] friend Floats operator-(Floats a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
  }
};

[[gnu::always_inline]] inline Floats fma(Floats a, Floats b, Floats c) {
  return {xsimd::fma(a.low, b.low, c.low), xsimd::fma(a.high, b.high, c.high)};
}
[[gnu::always_inline]] inline Floats min(Floats a, Floats b) {
  return {xsimd::min(a.low, b.low), xsimd::min(a.high, b.high)};
}
[[gnu::always_inline]] inline Floats max(Floats a, Floats b) {
  return {xsimd::max(a.low, b.low), xsimd::max(a.high, b.high)};
}
[[gnu::always_inline]] inline Floats abs(Floats a) {
  return {xsimd::abs(a.low), xsimd::abs(a.high)};
}
[[gnu::always_inline]] inline Floats sqrt(Floats a) {
  return {xsimd::sqrt(a.low), xsimd::sqrt(a.high)};
}
[[gnu::always_inline]] inline Mask less(Floats a, Floats b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
[[gnu::always_inline]] inline Mask equal(Floats a, Floats b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ)};
}
[[gnu::always_inline]] inline Mask is_nan(Floats a) {
  return {_mm256_cmp_ps(a.low, a.low, _CMP_UNORD_Q), _mm256_cmp_ps(a.high, a.high, _CMP_UNORD_Q)};
}
[[gnu::always_inline]] inline Floats select(Mask m, Floats a, Floats b) {
  return {_mm256_blendv_ps(b.low, a.low, m.low), _mm256_blendv_ps(b.high, a.high, m.high)};
}

[[gnu::always_inline]] inline float reduce_add(Floats a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
[[gnu::always_inline]] inline float reduce_max(Floats a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

[[gnu::always_inline]] inline Floats to_float(Ints a) {
  return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
[[gnu::always_inline]] inline Ints round_to_int(Floats a) {
  return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)};
}
[[gnu::always_inline]] inline Ints bits_of(Floats a) {
  return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)};
}
[[gnu::always_inline]] inline Floats from_bits(Ints a) {
  return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
}

struct Avx2 {
  using Floats = avx2::Floats;
  using Ints = avx2::Ints;
  using Mask = avx2::Mask;
  static constexpr int kTileSide = 2;

  [[gnu::always_inline]] static void reduce_tile(const Floats* sums, float* out) {
    const auto eight = [=](int i) __attribute__((always_inline)) {
      return _mm256_add_ps(sums[i].low, sums[i].high);
    };
    const auto two = [](__m256 a, __m256 b) __attribute__((always_inline)) {
      return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    };
    const __m256 a = two(eight(0), eight(2)), b = two(eight(1), eight(3));
    const __m256 halves =
        _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    const __m256 whole = _mm256_add_ps(halves, _mm256_movehdup_ps(halves));  // lanes 0, 2, 4, 6
    const __m256 even = _mm256_permutevar8x32_ps(whole, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_storeu_ps(out, _mm256_castps256_ps128(even));
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
}  // namespace larder::quant::avx2
