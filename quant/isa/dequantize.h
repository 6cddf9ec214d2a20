// Weights to float: each is the exact value of its block's formula (block.h), rounded once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/block.h"
#include "quant/format.h"
#include "quant/isa/lanes.h"

namespace larder::quant {

// A block as groups of 16 elements, x = scale * q - minimum. d times an integer scale is exact in
// float, so only the last operation rounds.
template <int n>
struct UnpackedBlock {
  int8_t q[n];
  float scale[n / 16];
  float minimum[n / 16];
};

template <class Isa>
[[gnu::always_inline]] inline float half(HalfBytes h) {
  return Isa::widen_f16(h.bits());
}

// Low nibbles are the first n elements, high nibbles the second n.
template <int n>
[[gnu::always_inline]] inline void unpack_nibbles(const uint8_t* qs, int8_t* q) {
  for (int j = 0; j < n; ++j) {
    q[j] = static_cast<int8_t>(qs[j] & 15);
    q[j + n] = static_cast<int8_t>(qs[j] >> 4);
  }
}

template <int n>
[[gnu::always_inline]] inline void look_up(const int8_t (&values)[16], int8_t* q) {
  for (int j = 0; j < n; ++j) q[j] = values[q[j]];
}

// Non-linear 4-bit values of IQ4_NL and IQ4_XS, and those of FP4 E2M1 doubled. Source: ggml block
// layouts, 2026-08; OCP Microscaling Formats 1.0.
constexpr int8_t kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
constexpr int8_t kFp4Table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

template <int n>
[[gnu::always_inline]] inline void set_scales(UnpackedBlock<n>& out, float scale, float minimum) {
  for (int g = 0; g < n / 16; ++g) {
    out.scale[g] = scale;
    out.minimum[g] = minimum;
  }
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ4_0& block, UnpackedBlock<32>& out) {
  unpack_nibbles<16>(block.qs, out.q);
  for (int8_t& q : out.q) q = static_cast<int8_t>(q - 8);
  set_scales(out, half<Isa>(block.d), 0.0f);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ4_1& block, UnpackedBlock<32>& out) {
  unpack_nibbles<16>(block.qs, out.q);
  set_scales(out, half<Isa>(block.d), -half<Isa>(block.m));
}

[[gnu::always_inline]] inline void add_fifth_bits(const uint8_t (&qh)[4], int8_t* q) {
  for (int j = 0; j < 32; ++j) q[j] = static_cast<int8_t>(q[j] | (qh[j / 8] >> (j % 8) & 1) << 4);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ5_0& block, UnpackedBlock<32>& out) {
  unpack_nibbles<16>(block.qs, out.q);
  add_fifth_bits(block.qh, out.q);
  for (int8_t& q : out.q) q = static_cast<int8_t>(q - 16);
  set_scales(out, half<Isa>(block.d), 0.0f);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ5_1& block, UnpackedBlock<32>& out) {
  unpack_nibbles<16>(block.qs, out.q);
  add_fifth_bits(block.qh, out.q);
  set_scales(out, half<Isa>(block.d), -half<Isa>(block.m));
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ8_0& block, UnpackedBlock<32>& out) {
  for (int j = 0; j < 32; ++j) out.q[j] = block.qs[j];
  set_scales(out, half<Isa>(block.d), 0.0f);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockIQ4_NL& block, UnpackedBlock<32>& out) {
  unpack_nibbles<16>(block.qs, out.q);
  look_up<32>(kIq4Table, out.q);
  set_scales(out, half<Isa>(block.d), 0.0f);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockMXFP4& block, UnpackedBlock<32>& out) {
  unpack_nibbles<16>(block.qs, out.q);
  look_up<32>(kFp4Table, out.q);
  // 2^(e - 128): subnormal for e < 2.
  const uint32_t bits = block.e < 2 ? 0x00200000u << block.e : (block.e - 1u) << 23;
  set_scales(out, __builtin_bit_cast(float, bits), 0.0f);
}

// Element 128 h + 32 j + l is bits 2j, 2j+1 of qs[32 h + l].
[[gnu::always_inline]] inline void unpack_pairs(const uint8_t (&qs)[64], int8_t* q) {
  for (int h = 0; h < 2; ++h) {
    for (int j = 0; j < 4; ++j) {
      for (int l = 0; l < 32; ++l) {
        q[128 * h + 32 * j + l] = static_cast<int8_t>(qs[32 * h + l] >> 2 * j & 3);
      }
    }
  }
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ2_K& block, UnpackedBlock<256>& out) {
  unpack_pairs(block.qs, out.q);
  const float d = half<Isa>(block.d), dmin = half<Isa>(block.dmin);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(block.scales[g] & 15);
    out.minimum[g] = dmin * static_cast<float>(block.scales[g] >> 4);
  }
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ3_K& block, UnpackedBlock<256>& out) {
  unpack_pairs(block.qs, out.q);
  for (int g = 0; g < 8; ++g) {
    for (int l = 0; l < 32; ++l) {
      int8_t& q = out.q[32 * g + l];
      q = static_cast<int8_t>(q + (block.hmask[l] >> g & 1) * 4 - 4);
    }
  }
  const float d = half<Isa>(block.d);
  for (int g = 0; g < 16; ++g) {
    const int low = block.scales[g % 8] >> 4 * (g / 8) & 15;
    const int high = block.scales[8 + g % 4] >> 2 * (g / 4) & 3;
    out.scale[g] = d * static_cast<float>((low | high << 4) - 32);
    out.minimum[g] = 0.0f;
  }
}

template <class Isa>
[[gnu::always_inline]] inline void unpack_scales(const ScalesAndMins& packed, float d, float dmin,
                                                 UnpackedBlock<256>& out) {
  const uint8_t(&b)[12] = packed.bytes;
  for (int k = 0; k < 8; ++k) {
    const int scale = k < 4 ? b[k] & 63 : (b[k + 4] & 15) | b[k - 4] >> 6 << 4;
    const int minimum = k < 4 ? b[k + 4] & 63 : b[k + 4] >> 4 | b[k] >> 6 << 4;
    out.scale[2 * k] = out.scale[2 * k + 1] = d * static_cast<float>(scale);
    out.minimum[2 * k] = out.minimum[2 * k + 1] = dmin * static_cast<float>(minimum);
  }
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ4_K& block, UnpackedBlock<256>& out) {
  for (int g = 0; g < 4; ++g) unpack_nibbles<32>(block.qs + 32 * g, out.q + 64 * g);
  unpack_scales<Isa>(block.scales, half<Isa>(block.d), half<Isa>(block.dmin), out);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ5_K& block, UnpackedBlock<256>& out) {
  for (int g = 0; g < 4; ++g) unpack_nibbles<32>(block.qs + 32 * g, out.q + 64 * g);
  for (int k = 0; k < 8; ++k) {
    for (int l = 0; l < 32; ++l) {
      int8_t& q = out.q[32 * k + l];
      q = static_cast<int8_t>(q | (block.qh[l] >> k & 1) << 4);
    }
  }
  unpack_scales<Isa>(block.scales, half<Isa>(block.d), half<Isa>(block.dmin), out);
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockQ6_K& block, UnpackedBlock<256>& out) {
  for (int h = 0; h < 2; ++h) {
    for (int j = 0; j < 4; ++j) {
      for (int l = 0; l < 32; ++l) {
        const int low = block.ql[64 * h + 32 * (j % 2) + l] >> (j < 2 ? 0 : 4) & 15;
        const int high = block.qh[32 * h + l] >> 2 * j & 3;
        out.q[128 * h + 32 * j + l] = static_cast<int8_t>((low | high << 4) - 32);
      }
    }
  }
  const float d = half<Isa>(block.d);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(block.scales[g]);
    out.minimum[g] = 0.0f;
  }
}

template <class Isa>
[[gnu::always_inline]] inline void unpack(const BlockIQ4_XS& block, UnpackedBlock<256>& out) {
  const float d = half<Isa>(block.d);
  const int scales_h = block.scales_h[0] | block.scales_h[1] << 8;
  for (int b = 0; b < 8; ++b) {
    unpack_nibbles<16>(block.qs + 16 * b, out.q + 32 * b);
    const int low = block.scales_l[b / 2] >> 4 * (b % 2) & 15;
    const int high = scales_h >> 2 * b & 3;
    out.scale[2 * b] = out.scale[2 * b + 1] = d * static_cast<float>((low | high << 4) - 32);
    out.minimum[2 * b] = out.minimum[2 * b + 1] = 0.0f;
  }
  look_up<256>(kIq4Table, out.q);
}

template <class Isa, class Block, int n>
void dequantize_blocks(const uint8_t* row, int64_t n_elements, float* out) noexcept {
  using Floats = typename Isa::Floats;
  const Block* block = reinterpret_cast<const Block*>(row);
  for (int64_t i = 0; i < n_elements; i += n, ++block) {
    UnpackedBlock<n> unpacked;
    unpack<Isa>(*block, unpacked);
    for (int g = 0; g < n / kLanes; ++g) {
      const Floats q = to_float(Isa::Ints::load_int8(unpacked.q + g * kLanes));
      (Floats::broadcast(unpacked.scale[g]) * q - Floats::broadcast(unpacked.minimum[g]))
          .store(out + i + g * kLanes);
    }
  }
}

template <class Isa>
void widen_f16_row(const uint8_t* row, int64_t n, float* out) noexcept {
  map_lanes<Isa>(
      n, out, [](auto a) { return a; }, reinterpret_cast<const uint16_t*>(row));
}

template <class Isa>
void widen_bf16_row(const uint8_t* row, int64_t n, float* out) noexcept {
  const auto* x = reinterpret_cast<const uint16_t*>(row);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Isa::Floats::from_bf16(x + i).store(out + i);
  for (; i < n; ++i) out[i] = __builtin_bit_cast(float, static_cast<uint32_t>(x[i]) << 16);
}

template <class Isa>
void dequantize(Format format, const uint8_t* row, int64_t n, float* out) noexcept {
  switch (format) {
    case Format::f32:
      __builtin_memcpy(out, row, static_cast<size_t>(n) * sizeof(float));
      return;
    case Format::f16:
      return widen_f16_row<Isa>(row, n, out);
    case Format::bf16:
      return widen_bf16_row<Isa>(row, n, out);
    case Format::q4_0:
      return dequantize_blocks<Isa, BlockQ4_0, 32>(row, n, out);
    case Format::q4_1:
      return dequantize_blocks<Isa, BlockQ4_1, 32>(row, n, out);
    case Format::q5_0:
      return dequantize_blocks<Isa, BlockQ5_0, 32>(row, n, out);
    case Format::q5_1:
      return dequantize_blocks<Isa, BlockQ5_1, 32>(row, n, out);
    case Format::q8_0:
      return dequantize_blocks<Isa, BlockQ8_0, 32>(row, n, out);
    case Format::iq4_nl:
      return dequantize_blocks<Isa, BlockIQ4_NL, 32>(row, n, out);
    case Format::mxfp4:
      return dequantize_blocks<Isa, BlockMXFP4, 32>(row, n, out);
    case Format::q2_k:
      return dequantize_blocks<Isa, BlockQ2_K, 256>(row, n, out);
    case Format::q3_k:
      return dequantize_blocks<Isa, BlockQ3_K, 256>(row, n, out);
    case Format::q4_k:
      return dequantize_blocks<Isa, BlockQ4_K, 256>(row, n, out);
    case Format::q5_k:
      return dequantize_blocks<Isa, BlockQ5_K, 256>(row, n, out);
    case Format::q6_k:
      return dequantize_blocks<Isa, BlockQ6_K, 256>(row, n, out);
    case Format::iq4_xs:
      return dequantize_blocks<Isa, BlockIQ4_XS, 256>(row, n, out);
  }
}

}  // namespace larder::quant
