// Activation rows rounded to int8, the right-hand side of integer dot products. A row is blocks one
// after the other from a 64-byte aligned address, padded to a multiple of 64 bytes.
//
// scale is amax / 127 with amax the largest magnitude of the block; q = x * (127 / amax), rounded
// to nearest even, so x ~ scale * q. A block of zeros has scale 0 and q 0.
// Invariant: -127 <= q <= 127. Kernels rely on it: sums of products are exact in 16 and 32 bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder::quant {

// For weights in blocks of 32.
struct ActivationBlock32 {
  float scale;
  int32_t sum;  // of q
  int8_t q[32];
};
static_assert(sizeof(ActivationBlock32) == 40);

// For weights in super-blocks of 256: five cache lines, quants aligned to them. Both kinds of sums
// are stored because formats have minimums per 16 or per 32, and kernels read them in pairs.
struct alignas(64) ActivationBlock256 {
  int8_t q[256];
  int16_t sums_16[16];  // sums_16[i]: of q[16 i .. 16 i + 15]
  int16_t sums_32[8];   // sums_32[i]: of q[32 i .. 32 i + 31]
  float scale;
  uint32_t unused[3];  // zeros: kernels may load 32 bytes from sums_32
};
static_assert(sizeof(ActivationBlock256) == 320);
static_assert(offsetof(ActivationBlock256, sums_32) + 32 == sizeof(ActivationBlock256));

}  // namespace larder::quant
