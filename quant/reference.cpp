#include "quant/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/activation_block.h"
#include "quant/block.h"

namespace larder::quant::reference {
namespace {

// Source: ggml block layouts, 2026-08.
constexpr int kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};
// Twice the values of E2M1. Source: OCP Microscaling Formats 1.0, table 5.
constexpr int kFp4DoubledValues[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

double value(HalfBytes half) { return widen_f16(half.bits()); }

// Element i of a block of 32 whose byte j holds elements j and j + 16.
int nibble(const uint8_t* qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }
int bit(const uint8_t* bits, int i) { return bits[i / 8] >> i % 8 & 1; }

double element(const BlockQ4_0& b, int i) { return value(b.d) * (nibble(b.qs, i) - 8); }
double element(const BlockQ4_1& b, int i) { return value(b.d) * nibble(b.qs, i) + value(b.m); }
double element(const BlockQ5_0& b, int i) {
  return value(b.d) * (nibble(b.qs, i) + 16 * bit(b.qh, i) - 16);
}
double element(const BlockQ5_1& b, int i) {
  return value(b.d) * (nibble(b.qs, i) + 16 * bit(b.qh, i)) + value(b.m);
}
double element(const BlockQ8_0& b, int i) { return value(b.d) * b.qs[i]; }
double element(const BlockIQ4_NL& b, int i) { return value(b.d) * kIq4Values[nibble(b.qs, i)]; }
double element(const BlockMXFP4& b, int i) {
  return std::ldexp(kFp4DoubledValues[nibble(b.qs, i)], b.e - 128);
}

double element(const BlockQ2_K& b, int i) {
  const int h = i / 128, j = i / 32 % 4, l = i % 32;
  const int scale = b.scales[i / 16];
  const int q = b.qs[32 * h + l] >> 2 * j & 3;
  return value(b.d) * (scale & 15) * q - value(b.dmin) * (scale >> 4);
}

int q3_k_scale(const BlockQ3_K& b, int k) {
  const int low = k < 8 ? b.scales[k] & 15 : b.scales[k - 8] >> 4;
  return (low | (b.scales[8 + k % 4] >> 2 * (k / 4) & 3) << 4) - 32;
}
double element(const BlockQ3_K& b, int i) {
  const int h = i / 128, j = i / 32 % 4, l = i % 32;
  const int q = (b.qs[32 * h + l] >> 2 * j & 3) | (b.hmask[l] >> (4 * h + j) & 1) << 2;
  return value(b.d) * q3_k_scale(b, i / 16) * (q - 4);
}

int scale_of(const ScalesAndMins& packed, int k) {
  const uint8_t* b = packed.bytes;
  return k < 4 ? b[k] & 63 : (b[k + 4] & 15) | b[k - 4] >> 6 << 4;
}
int min_of(const ScalesAndMins& packed, int k) {
  const uint8_t* b = packed.bytes;
  return k < 4 ? b[k + 4] & 63 : b[k + 4] >> 4 | b[k] >> 6 << 4;
}
int low_nibble_of_sub_block(const uint8_t* qs, int i) {
  const int k = i / 32, byte = qs[k / 2 * 32 + i % 32];
  return k % 2 == 0 ? byte & 15 : byte >> 4;
}
double element(const BlockQ4_K& b, int i) {
  return value(b.d) * scale_of(b.scales, i / 32) * low_nibble_of_sub_block(b.qs, i) -
         value(b.dmin) * min_of(b.scales, i / 32);
}
double element(const BlockQ5_K& b, int i) {
  const int q = low_nibble_of_sub_block(b.qs, i) | (b.qh[i % 32] >> i / 32 & 1) << 4;
  return value(b.d) * scale_of(b.scales, i / 32) * q - value(b.dmin) * min_of(b.scales, i / 32);
}

double element(const BlockQ6_K& b, int i) {
  const int h = i / 128, j = i / 32 % 4, l = i % 32;
  const int byte = b.ql[64 * h + 32 * (j % 2) + l];
  const int q = (j < 2 ? byte & 15 : byte >> 4) | (b.qh[32 * h + l] >> 2 * j & 3) << 4;
  return value(b.d) * b.scales[i / 16] * (q - 32);
}

int iq4_xs_scale(const BlockIQ4_XS& b, int k) {
  const int low = b.scales_l[k / 2] >> 4 * (k % 2) & 15;
  const int high = (b.scales_h[0] | b.scales_h[1] << 8) >> 2 * k & 3;
  return (low | high << 4) - 32;
}
double element(const BlockIQ4_XS& b, int i) {
  return value(b.d) * iq4_xs_scale(b, i / 32) * kIq4Values[nibble(b.qs + i / 32 * 16, i % 32)];
}

template <class Block>
void dequantize_blocks(const uint8_t* row, int64_t n, int block_elements, double* out) {
  for (int64_t i = 0; i < n; ++i) {
    Block block;
    std::memcpy(&block, row + i / block_elements * static_cast<int64_t>(sizeof block),
                sizeof block);
    out[i] = element(block, static_cast<int>(i % block_elements));
  }
}

}  // namespace

double widen_f16(uint16_t half) noexcept {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  double magnitude = std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 0) magnitude = std::ldexp(fraction, -24);
  if (exponent == 31) magnitude = fraction == 0 ? INFINITY : NAN;
  return half & 0x8000 ? -magnitude : magnitude;
}

double widen_bf16(uint16_t half) noexcept {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

uint16_t narrow_f16(double x) noexcept {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return static_cast<uint16_t>(sign | 0x7e00);
  const double magnitude = std::fabs(x);
  // The step between neighbours is 2^(e - 10), and never below 2^-24.
  const int e = magnitude == 0 ? -14 : std::max(std::ilogb(magnitude), -14);
  if (e > 15) return static_cast<uint16_t>(sign | 0x7c00);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - e)));
  // Adding carries from the fraction into the exponent, up to infinity.
  const int bits = magnitude < 0x1p-14 ? steps : ((e + 15) << 10) + (steps - 1024);
  return static_cast<uint16_t>(sign | bits);
}

void dequantize(Format format, const uint8_t* row, int64_t n, double* out) noexcept {
  const auto element_16 = [row](int64_t i) {
    return static_cast<uint16_t>(row[2 * i] | row[2 * i + 1] << 8);
  };
  switch (format) {
    case Format::f32:
      for (int64_t i = 0; i < n; ++i) {
        float x;
        std::memcpy(&x, row + 4 * i, sizeof x);
        out[i] = x;
      }
      return;
    case Format::f16:
      for (int64_t i = 0; i < n; ++i) out[i] = widen_f16(element_16(i));
      return;
    case Format::bf16:
      for (int64_t i = 0; i < n; ++i) out[i] = widen_bf16(element_16(i));
      return;
    case Format::q4_0:
      return dequantize_blocks<BlockQ4_0>(row, n, 32, out);
    case Format::q4_1:
      return dequantize_blocks<BlockQ4_1>(row, n, 32, out);
    case Format::q5_0:
      return dequantize_blocks<BlockQ5_0>(row, n, 32, out);
    case Format::q5_1:
      return dequantize_blocks<BlockQ5_1>(row, n, 32, out);
    case Format::q8_0:
      return dequantize_blocks<BlockQ8_0>(row, n, 32, out);
    case Format::iq4_nl:
      return dequantize_blocks<BlockIQ4_NL>(row, n, 32, out);
    case Format::mxfp4:
      return dequantize_blocks<BlockMXFP4>(row, n, 32, out);
    case Format::q2_k:
      return dequantize_blocks<BlockQ2_K>(row, n, 256, out);
    case Format::q3_k:
      return dequantize_blocks<BlockQ3_K>(row, n, 256, out);
    case Format::q4_k:
      return dequantize_blocks<BlockQ4_K>(row, n, 256, out);
    case Format::q5_k:
      return dequantize_blocks<BlockQ5_K>(row, n, 256, out);
    case Format::q6_k:
      return dequantize_blocks<BlockQ6_K>(row, n, 256, out);
    case Format::iq4_xs:
      return dequantize_blocks<BlockIQ4_XS>(row, n, 256, out);
  }
}

void quantize_activations(ActivationFormat format, const float* x, int64_t n, void* row) noexcept {
  const auto round_block = [](const float* in, int count, int8_t* q) {
    float amax = 0;
    for (int i = 0; i < count; ++i) amax = std::max(amax, std::fabs(in[i]));
    const float inverse = amax == 0 ? 0 : 127 / amax;
    for (int i = 0; i < count; ++i) q[i] = static_cast<int8_t>(std::nearbyint(in[i] * inverse));
    return amax / 127;
  };
  if (format == ActivationFormat::q8_32) {
    auto* blocks = static_cast<ActivationBlock32*>(row);
    for (int64_t b = 0; b < n / 32; ++b) {
      blocks[b].scale = round_block(x + 32 * b, 32, blocks[b].q);
      blocks[b].sum = 0;
      for (int8_t q : blocks[b].q) blocks[b].sum += q;
    }
  } else {
    auto* blocks = static_cast<ActivationBlock256*>(row);
    for (int64_t b = 0; b < n / 256; ++b) {
      ActivationBlock256& block = blocks[b] = {};
      block.scale = round_block(x + 256 * b, 256, block.q);
      for (int i = 0; i < 256; ++i) {
        block.sums_16[i / 16] = static_cast<int16_t>(block.sums_16[i / 16] + block.q[i]);
        block.sums_32[i / 32] = static_cast<int16_t>(block.sums_32[i / 32] + block.q[i]);
      }
    }
  }
}

void dequantize_activations(ActivationFormat format, const void* row, int64_t n,
                            double* out) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    if (format == ActivationFormat::q8_32) {
      const auto& block = static_cast<const ActivationBlock32*>(row)[i / 32];
      out[i] = static_cast<double>(block.scale) * block.q[i % 32];
    } else {
      const auto& block = static_cast<const ActivationBlock256*>(row)[i / 256];
      out[i] = static_cast<double>(block.scale) * block.q[i % 256];
    }
  }
}

Dot dot(const double* a, const double* b, int64_t n) noexcept {
  Dot sum;
  for (int64_t i = 0; i < n; ++i) {
    sum.value += a[i] * b[i];
    sum.magnitude += std::fabs(a[i] * b[i]);
  }
  return sum;
}

}  // namespace larder::quant::reference
