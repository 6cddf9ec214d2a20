// Blocks of quantised weights as they lie in the file: byte aligned, little endian, no padding.
// q are quants, d scales, m minimums. Source: ggml block layouts, 2026-08.
#pragma once

#include <cstdint>

namespace larder::quant {

// A float16 at any address.
struct HalfBytes {
  uint8_t low, high;
  constexpr uint16_t bits() const { return static_cast<uint16_t>(low | high << 8); }
};

// Blocks of 32. In qs the low nibble of byte j is element j, the high nibble element j + 16.

// 4.5 bits a weight. x = d * (q - 8).
struct BlockQ4_0 {
  HalfBytes d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 1);

// 5 bits a weight. x = d * q + m.
struct BlockQ4_1 {
  HalfBytes d, m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 1);

// 5.5 bits a weight. x = d * (q - 16); bit i of qh is bit 4 of element i.
struct BlockQ5_0 {
  HalfBytes d;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 1);

// 6 bits a weight. x = d * q + m; qh as in Q5_0.
struct BlockQ5_1 {
  HalfBytes d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 1);

// 8.5 bits a weight. x = d * q.
struct BlockQ8_0 {
  HalfBytes d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);

// 4.5 bits a weight. x = d * kIq4Values[q].
struct BlockIQ4_NL {
  HalfBytes d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 1);

// 4.25 bits a weight. x = 2^(e - 128) * kFp4DoubledValues[q].
struct BlockMXFP4 {
  uint8_t e;
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17 && alignof(BlockMXFP4) == 1);

// Super-blocks of 256.

// 2.625 bits a weight. Sixteen sub-blocks of 16: x = d * (scales & 15) * q - dmin * (scales >> 4).
// Element 128 h + 32 j + l is bits 2j, 2j+1 of qs[32 h + l].
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  HalfBytes d, dmin;
};
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 1);

// 3.4375 bits a weight. Sixteen sub-blocks of 16: x = d * (scale - 32) * (q - 4), elements as in
// Q2_K; bit 2 of q is bit 4 h + j of hmask[l]. Scale k: low 4 bits are a nibble of scales[k % 8]
// (low for k < 8), bits 4 and 5 are bits 2 (k / 4), + 1 of scales[8 + k % 4].
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  HalfBytes d;
};
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 1);

// Eight 6-bit scales s and minimums m in 12 bytes b. k < 4: s = b[k] & 63, m = b[k + 4] & 63.
// k >= 4: s = b[k + 4] & 15 | b[k - 4] >> 6 << 4, m = b[k + 4] >> 4 | b[k] >> 6 << 4.
struct ScalesAndMins {
  uint8_t bytes[12];
};

// 4.5 bits a weight. Eight sub-blocks of 32: x = d * s * q - dmin * m.
// Bytes 32 g + l of qs: low nibbles are sub-block 2 g, high nibbles sub-block 2 g + 1.
struct BlockQ4_K {
  HalfBytes d, dmin;
  ScalesAndMins scales;
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 1);

// 5.5 bits a weight. As Q4_K; bit 4 of element l of sub-block k is bit k of qh[l].
struct BlockQ5_K {
  HalfBytes d, dmin;
  ScalesAndMins scales;
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 1);

// 6.5625 bits a weight. Sixteen sub-blocks of 16: x = d * scale * (q - 32).
// Element 128 h + 32 j + l: low 4 bits in ql[64 h + 32 (j % 2) + l], low nibbles for j < 2;
// high 2 bits are bits 2 j, 2 j + 1 of qh[32 h + l].
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  HalfBytes d;
};
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);

// 4.25 bits a weight. Eight sub-blocks of 32, each with its qs as IQ4_NL:
// x = d * (scale - 32) * kIq4Values[q]. Scale b: low 4 bits are a nibble of scales_l[b / 2] (low
// for even b), bits 4 and 5 are bits 2 b, 2 b + 1 of scales_h.
struct BlockIQ4_XS {
  HalfBytes d;
  uint8_t scales_h[2];
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 1);

}  // namespace larder::quant
