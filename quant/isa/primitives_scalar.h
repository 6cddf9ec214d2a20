// The vocabulary that every kernel is written in, and its portable meaning.
//
// Protocol. An instruction set is one shell, kernels_<isa>.cpp, compiled with its own flags. It
// includes primitives_<isa>.h, which defines the same names for every instruction set:
//   Floats  16 float32 lanes        Ints  16 int32 lanes        Mask  16 booleans
// and one tag, `struct Scalar`, `struct Avx2` or `struct Avx512Vnni`, that names them as members.
// Algorithms (vector_ops.h, attention.h, dot_*.h) are templates on that tag:
//   template <class Isa> struct RmsNorm { static void run(...) noexcept; };
// use only `typename Isa::Floats` and functions found through their arguments, and include no
// primitives themselves. vector_ops.h defines, in namespace larder::quant,
//   template <class Isa> constexpr VectorKernels vector_kernels();
// and the shell puts it together: constinit const KernelSet kKernels = {...,
// vector_kernels<Avx2>()}.
//
// Linkage. The tags live in unnamed namespaces, so whatever is instantiated with one is local to
// its shell, at any optimisation level: the linker cannot mix instruction sets. Therefore every
// function in these headers depends on the tag or is itself in an unnamed namespace; constants are
// `constexpr`, never `inline constexpr`; nothing of std is called.
//
// Meaning. All instruction sets give the same bits. min(a, b) is a < b ? a : b and max(a, b) is
// a > b ? a : b, so the second operand wins where one is NaN or both are zero. Partial loads fill
// with zeros and touch no memory past n elements. Comparisons with NaN are false.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace larder::quant::scalar {
namespace {

struct Mask {
  uint32_t bits;  // lane i is bit i

  friend Mask operator&(Mask a, Mask b) { return {a.bits & b.bits}; }
  friend Mask operator|(Mask a, Mask b) { return {a.bits | b.bits}; }
  friend Mask operator~(Mask a) { return {~a.bits & 0xffffu}; }
};

inline uint32_t lane_bits(Mask m) { return m.bits; }

inline uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
inline float from_bits(uint32_t x) { return __builtin_bit_cast(float, x); }

inline float widen_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  if (magnitude > 0x7c00) return from_bits(sign | 0x7fc00000u | magnitude << 13);  // NaN, quieted
  if (magnitude == 0x7c00) return from_bits(sign | 0x7f800000u);
  if (magnitude >= 0x0400) return from_bits(sign | ((magnitude << 13) + 0x38000000u));
  return from_bits(sign | bits_of(static_cast<float>(magnitude) * 0x1p-24f));  // subnormal
}

// Rounds to nearest even; too large becomes infinity.
inline uint16_t narrow_f16(float x) {
  const uint32_t sign = bits_of(x) >> 16 & 0x8000;
  const uint32_t magnitude = bits_of(x) & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  }
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);  // >= 65520
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the subnormal in the low bits
    return static_cast<uint16_t>(sign | (bits_of(from_bits(magnitude) + 0.5f) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | rounded >> 13);
}

struct Ints {
  int32_t lane[16];

  template <class F>
  static Ints make(F f) {
    Ints r;
    for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<int32_t>(f(i));
    return r;
  }
  static Ints zero() { return broadcast(0); }
  static Ints broadcast(int32_t x) {
    return make([=](int) { return x; });
  }
  static Ints iota() {  // 0, 1, ... 15
    return make([](int i) { return i; });
  }
  static Ints load(const int32_t* p) {
    return make([=](int i) { return p[i]; });
  }
  static Ints load_int8(const int8_t* p) {
    return make([=](int i) { return p[i]; });
  }
  static Ints load_uint8(const uint8_t* p) {
    return make([=](int i) { return p[i]; });
  }
  void store(int32_t* p) const {
    for (int i = 0; i < 16; ++i) p[i] = lane[i];
  }
  // REQUIRES: every lane in [-128, 127].
  void store_int8(int8_t* p) const {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(lane[i]);
  }

  friend Ints operator+(Ints a, Ints b) {
    return make([&](int i) { return uint32_t(a.lane[i]) + uint32_t(b.lane[i]); });
  }
  friend Ints operator-(Ints a, Ints b) {
    return make([&](int i) { return uint32_t(a.lane[i]) - uint32_t(b.lane[i]); });
  }
  friend Ints operator*(Ints a, Ints b) {
    return make([&](int i) { return uint32_t(a.lane[i]) * uint32_t(b.lane[i]); });
  }
  friend Ints operator&(Ints a, Ints b) {
    return make([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  friend Ints operator|(Ints a, Ints b) {
    return make([&](int i) { return a.lane[i] | b.lane[i]; });
  }
  friend Ints operator^(Ints a, Ints b) {
    return make([&](int i) { return a.lane[i] ^ b.lane[i]; });
  }
};

template <int n>
Ints shift_left(Ints a) {
  return Ints::make([&](int i) { return uint32_t(a.lane[i]) << n; });
}
template <int n>
Ints shift_right(Ints a) {  // zeros come in
  return Ints::make([&](int i) { return uint32_t(a.lane[i]) >> n; });
}
template <int n>
Ints shift_right_signed(Ints a) {
  return Ints::make([&](int i) { return a.lane[i] >> n; });
}
inline Ints min(Ints a, Ints b) {
  return Ints::make([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Ints max(Ints a, Ints b) {
  return Ints::make([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline int32_t reduce_add(Ints a) {
  uint32_t sum = 0;
  for (int32_t x : a.lane) sum += static_cast<uint32_t>(x);
  return static_cast<int32_t>(sum);
}
inline Mask equal(Ints a, Ints b) {
  Mask m{0};
  for (int i = 0; i < 16; ++i) m.bits |= uint32_t(a.lane[i] == b.lane[i]) << i;
  return m;
}
inline Mask less(Ints a, Ints b) {
  Mask m{0};
  for (int i = 0; i < 16; ++i) m.bits |= uint32_t(a.lane[i] < b.lane[i]) << i;
  return m;
}
inline Ints select(Mask m, Ints a, Ints b) {  // a where true
  return Ints::make([&](int i) { return m.bits >> i & 1 ? a.lane[i] : b.lane[i]; });
}

struct Floats {
  float lane[16];

  template <class F>
  static Floats make(F f) {
    Floats r;
    for (int i = 0; i < 16; ++i) r.lane[i] = f(i);
    return r;
  }
  static Floats zero() { return broadcast(0); }
  static Floats broadcast(float x) {
    return make([=](int) { return x; });
  }
  static Floats load(const float* p) {
    return make([=](int i) { return p[i]; });
  }
  static Floats load_partial(const float* p, int64_t n) {  // REQUIRES: 0 <= n <= 16, as below
    return make([=](int i) { return i < n ? p[i] : 0.0f; });
  }
  static Floats from_f16(const uint16_t* p) {
    return make([=](int i) { return widen_f16(p[i]); });
  }
  static Floats from_f16_partial(const uint16_t* p, int64_t n) {
    return make([=](int i) { return i < n ? widen_f16(p[i]) : 0.0f; });
  }
  static Floats from_bf16(const uint16_t* p) {
    return make([=](int i) { return from_bits(static_cast<uint32_t>(p[i]) << 16); });
  }
  void store(float* p) const {
    for (int i = 0; i < 16; ++i) p[i] = lane[i];
  }
  // Past the caches where the machine can; p is 64-byte aligned. Others see it after
  // fence_streams().
  void stream(float* p) const { store(p); }
  void store_partial(float* p, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) p[i] = lane[i];
  }
  void to_f16(uint16_t* p) const {
    for (int i = 0; i < 16; ++i) p[i] = narrow_f16(lane[i]);
  }
  void to_f16_partial(uint16_t* p, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) p[i] = narrow_f16(lane[i]);
  }

  friend Floats operator+(Floats a, Floats b) {
    return make([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  friend Floats operator-(Floats a, Floats b) {
    return make([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  friend Floats operator*(Floats a, Floats b) {
    return make([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  friend Floats operator/(Floats a, Floats b) {
    return make([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  friend Floats operator-(Floats a) {
    return make([&](int i) { return -a.lane[i]; });
  }
};

// a * b + c, rounded once (libm's fmaf where the processor has no such instruction).
inline Floats fma(Floats a, Floats b, Floats c) {
  return Floats::make([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
inline Floats min(Floats a, Floats b) {
  return Floats::make([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Floats max(Floats a, Floats b) {
  return Floats::make([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Floats abs(Floats a) {
  return Floats::make([&](int i) { return __builtin_fabsf(a.lane[i]); });
}
inline Floats sqrt(Floats a) {
  return Floats::make([&](int i) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a.lane[i]))); });
}
inline Mask less(Floats a, Floats b) {
  Mask m{0};
  for (int i = 0; i < 16; ++i) m.bits |= uint32_t(a.lane[i] < b.lane[i]) << i;
  return m;
}
inline Mask equal(Floats a, Floats b) {
  Mask m{0};
  for (int i = 0; i < 16; ++i) m.bits |= uint32_t(a.lane[i] == b.lane[i]) << i;
  return m;
}
inline Mask is_nan(Floats a) { return ~equal(a, a); }
inline Floats select(Mask m, Floats a, Floats b) {  // a where true
  return Floats::make([&](int i) { return m.bits >> i & 1 ? a.lane[i] : b.lane[i]; });
}

inline float reduce_add(Floats a) {  // i with i+8, +4, +2, +1
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) a.lane[i] = a.lane[i] + a.lane[i + n];
  }
  return a.lane[0];
}
inline float reduce_max(Floats a) {  // the same tree
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) {
      a.lane[i] = a.lane[i] > a.lane[i + n] ? a.lane[i] : a.lane[i + n];
    }
  }
  return a.lane[0];
}

inline Floats to_float(Ints a) {
  return Floats::make([&](int i) { return static_cast<float>(a.lane[i]); });
}
// To nearest, ties to even; out of range and NaN give INT32_MIN.
inline Ints round_to_int(Floats a) {
  return Ints::make([&](int i) { return _mm_cvtss_si32(_mm_set_ss(a.lane[i])); });
}
inline Ints bits_of(Floats a) {
  return Ints::make([&](int i) { return bits_of(a.lane[i]); });
}
inline Floats from_bits(Ints a) {
  return Floats::make([&](int i) { return from_bits(static_cast<uint32_t>(a.lane[i])); });
}

struct Scalar {
  using Floats = scalar::Floats;
  using Ints = scalar::Ints;
  using Mask = scalar::Mask;
  // Side of a square tile of Floats that stays in registers with its operands.
  static constexpr int kTileSide = 4;
  // out[i] = reduce_add(sums[i]) for the kTileSide * kTileSide sums of a tile.
  static void reduce_tile(const Floats* sums, float* out) {
    for (int i = 0; i < kTileSide * kTileSide; ++i) out[i] = reduce_add(sums[i]);
  }

  static float widen_f16(uint16_t half) { return scalar::widen_f16(half); }
  static float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static void prefetch(const void*) {}
  // Into L2.
  static void prefetch_far(const void*) {}
  static void fence_streams() {}
};

}  // namespace
}  // namespace larder::quant::scalar
