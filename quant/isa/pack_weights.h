// Quants and scales into blocks: the opposite of unpack() in dequantize.h.
#pragma once

#include <cstdint>

#include "quant/block.h"

namespace larder::quant {

// q from 0 to 15: the first n are low nibbles, the second n high ones.
template <int n>
[[gnu::always_inline]] inline void pack_nibbles(const uint8_t* q, uint8_t* qs) {
  for (int j = 0; j < n; ++j) qs[j] = static_cast<uint8_t>((q[j] & 15) | (q[j + n] & 15) << 4);
}

// Bit 4 of 32 quants.
[[gnu::always_inline]] inline void pack_fifth_bits(const uint8_t* q, uint8_t* qh) {
  for (int j = 0; j < 4; ++j) {
    int bits = 0;
    for (int i = 0; i < 8; ++i) bits |= (q[8 * j + i] >> 4 & 1) << i;
    qh[j] = static_cast<uint8_t>(bits);
  }
}

// Low two bits of quants: element 128 h + 32 j + l is bits 2j, 2j+1 of qs[32 h + l].
[[gnu::always_inline]] inline void pack_pairs(const uint8_t* q, uint8_t* qs) {
  for (int h = 0; h < 2; ++h) {
    const uint8_t* from = q + 128 * h;
    for (int l = 0; l < 32; ++l) {
      qs[32 * h + l] = static_cast<uint8_t>((from[l] & 3) | (from[l + 32] & 3) << 2 |
                                            (from[l + 64] & 3) << 4 | (from[l + 96] & 3) << 6);
    }
  }
}

// Bit `bit` of element 32 k + l is bit k of out[l].
template <int bit>
[[gnu::always_inline]] inline void pack_bit_planes(const uint8_t* q, uint8_t* out) {
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int k = 0; k < 8; ++k) bits |= (q[32 * k + l] >> bit & 1) << k;
    out[l] = static_cast<uint8_t>(bits);
  }
}

[[gnu::always_inline]] inline void pack_quants(BlockQ4_0& block, const uint8_t* q) {
  pack_nibbles<16>(q, block.qs);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ4_1& block, const uint8_t* q) {
  pack_nibbles<16>(q, block.qs);
}
[[gnu::always_inline]] inline void pack_quants(BlockIQ4_NL& block, const uint8_t* q) {
  pack_nibbles<16>(q, block.qs);
}
[[gnu::always_inline]] inline void pack_quants(BlockMXFP4& block, const uint8_t* q) {
  pack_nibbles<16>(q, block.qs);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ5_0& block, const uint8_t* q) {
  pack_nibbles<16>(q, block.qs);
  pack_fifth_bits(q, block.qh);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ5_1& block, const uint8_t* q) {
  pack_nibbles<16>(q, block.qs);
  pack_fifth_bits(q, block.qh);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ8_0& block, const uint8_t* q) {
  for (int i = 0; i < 32; ++i) block.qs[i] = static_cast<int8_t>(q[i] - 127);
}

[[gnu::always_inline]] inline void pack_quants(BlockQ4_K& block, const uint8_t* q) {
  for (int g = 0; g < 4; ++g) pack_nibbles<32>(q + 64 * g, block.qs + 32 * g);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ5_K& block, const uint8_t* q) {
  for (int g = 0; g < 4; ++g) pack_nibbles<32>(q + 64 * g, block.qs + 32 * g);
  pack_bit_planes<4>(q, block.qh);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ2_K& block, const uint8_t* q) {
  pack_pairs(q, block.qs);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ3_K& block, const uint8_t* q) {
  pack_pairs(q, block.qs);
  pack_bit_planes<2>(q, block.hmask);
}
[[gnu::always_inline]] inline void pack_quants(BlockQ6_K& block, const uint8_t* q) {
  for (int h = 0; h < 2; ++h) {
    const uint8_t* from = q + 128 * h;
    for (int l = 0; l < 64; ++l) {
      block.ql[64 * h + l] = static_cast<uint8_t>((from[l] & 15) | (from[l + 64] & 15) << 4);
    }
    for (int l = 0; l < 32; ++l) {
      block.qh[32 * h + l] = static_cast<uint8_t>(from[l] >> 4 | from[l + 32] >> 4 << 2 |
                                                  from[l + 64] >> 4 << 4 | from[l + 96] >> 4 << 6);
    }
  }
}
[[gnu::always_inline]] inline void pack_quants(BlockIQ4_XS& block, const uint8_t* q) {
  for (int b = 0; b < 8; ++b) pack_nibbles<16>(q + 32 * b, block.qs + 16 * b);
}

// Scales and minimums of sub-blocks, 0 to 63.
[[gnu::always_inline]] inline void pack_scales(ScalesAndMins& packed, const int32_t* scale,
                                               const int32_t* min) {
  uint8_t(&b)[12] = packed.bytes;
  for (int k = 0; k < 4; ++k) {
    b[k] = static_cast<uint8_t>(scale[k] | scale[k + 4] >> 4 << 6);
    b[k + 4] = static_cast<uint8_t>(min[k] | min[k + 4] >> 4 << 6);
    b[k + 8] = static_cast<uint8_t>((scale[k + 4] & 15) | (min[k + 4] & 15) << 4);
  }
}
[[gnu::always_inline]] inline void pack_scales(BlockQ4_K& block, const int32_t* scale,
                                               const int32_t* min) {
  pack_scales(block.scales, scale, min);
}
[[gnu::always_inline]] inline void pack_scales(BlockQ5_K& block, const int32_t* scale,
                                               const int32_t* min) {
  pack_scales(block.scales, scale, min);
}
[[gnu::always_inline]] inline void pack_scales(BlockQ2_K& block, const int32_t* scale,
                                               const int32_t* min) {
  for (int k = 0; k < 16; ++k) block.scales[k] = static_cast<uint8_t>(scale[k] | min[k] << 4);
}
// From -128 to 127, or from -32 to 31.
[[gnu::always_inline]] inline void pack_scales(BlockQ6_K& block, const int32_t* scale) {
  for (int k = 0; k < 16; ++k) block.scales[k] = static_cast<int8_t>(scale[k]);
}
[[gnu::always_inline]] inline void pack_scales(BlockQ3_K& block, const int32_t* scale) {
  for (int k = 0; k < 8; ++k) {
    const int low = (scale[k] + 32) & 15, high = (scale[k + 8] + 32) & 15;
    block.scales[k] = static_cast<uint8_t>(low | high << 4);
  }
  for (int k = 0; k < 4; ++k) {
    int bits = 0;
    for (int j = 0; j < 4; ++j) bits |= (scale[4 * j + k] + 32) >> 4 << 2 * j;
    block.scales[8 + k] = static_cast<uint8_t>(bits);
  }
}
[[gnu::always_inline]] inline void pack_scales(BlockIQ4_XS& block, const int32_t* scale) {
  int high = 0;
  for (int b = 0; b < 8; ++b) high |= (scale[b] + 32) >> 4 << 2 * b;
  block.scales_h[0] = static_cast<uint8_t>(high & 255);
  block.scales_h[1] = static_cast<uint8_t>(high >> 8);
  for (int b = 0; b < 4; ++b) {
    const int even = (scale[2 * b] + 32) & 15, odd = (scale[2 * b + 1] + 32) & 15;
    block.scales_l[b] = static_cast<uint8_t>(even | odd << 4);
  }
}

}  // namespace larder::quant
