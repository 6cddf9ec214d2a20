// The reference's quantisers: scales from the range of each block, quants to nearest.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/block.h"
#include "quant/reference.h"

namespace larder::quant::reference {
namespace {

HalfBytes half(double x) {
  const uint16_t bits = narrow_f16(x);
  return {static_cast<uint8_t>(bits & 255), static_cast<uint8_t>(bits >> 8)};
}
double value(HalfBytes h) { return widen_f16(h.bits()); }

// x / step to nearest, in [low, high]; 0 for a step of 0.
int rounded(double x, double step, int low, int high) {
  if (step == 0) return std::clamp(0, low, high);
  return static_cast<int>(std::clamp(std::nearbyint(x / step), double(low), double(high)));
}

struct Range {
  double low = 0, high = 0;  // both include 0
  double magnitude() const { return std::max(high, -low); }
};
Range range_of(const float* x, int n) {
  Range r;
  for (int i = 0; i < n; ++i) {
    r.low = std::min(r.low, double(x[i]));
    r.high = std::max(r.high, double(x[i]));
  }
  return r;
}
// Of largest magnitude, with its sign.
double extreme(const float* x, int n) {
  const Range r = range_of(x, n);
  return -r.low > r.high ? r.low : r.high;
}

void put_nibble(uint8_t* qs, int i, int q) {
  qs[i % 16] = static_cast<uint8_t>(qs[i % 16] | (i < 16 ? q : q << 4));
}
void put_bits(uint8_t& byte, int at, int bits) { byte = static_cast<uint8_t>(byte | bits << at); }

template <class Values>
int nearest(const Values& values, double x) {
  int best = 0;
  for (int k = 1; k < 16; ++k) {
    if (std::fabs(values[k] - x) < std::fabs(values[best] - x)) best = k;
  }
  return best;
}

void encode(const float* x, BlockQ4_0& b) {
  b.d = half(extreme(x, 32) / -8);
  for (int i = 0; i < 32; ++i) put_nibble(b.qs, i, rounded(x[i], value(b.d), -8, 7) + 8);
}
void encode(const float* x, BlockQ4_1& b) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  b.d = half((double(*high) - *low) / 15);
  b.m = half(*low);
  for (int i = 0; i < 32; ++i) put_nibble(b.qs, i, rounded(x[i] - value(b.m), value(b.d), 0, 15));
}
void put_5_bits(uint8_t* qs, uint8_t* qh, int i, int q) {
  put_nibble(qs, i, q & 15);
  put_bits(qh[i / 8], i % 8, q >> 4);
}
void encode(const float* x, BlockQ5_0& b) {
  b.d = half(extreme(x, 32) / -16);
  for (int i = 0; i < 32; ++i) put_5_bits(b.qs, b.qh, i, rounded(x[i], value(b.d), -16, 15) + 16);
}
void encode(const float* x, BlockQ5_1& b) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  b.d = half((double(*high) - *low) / 31);
  b.m = half(*low);
  for (int i = 0; i < 32; ++i) {
    put_5_bits(b.qs, b.qh, i, rounded(x[i] - value(b.m), value(b.d), 0, 31));
  }
}
void encode(const float* x, BlockQ8_0& b) {
  b.d = half(range_of(x, 32).magnitude() / 127);
  for (int i = 0; i < 32; ++i) b.qs[i] = static_cast<int8_t>(rounded(x[i], value(b.d), -127, 127));
}

constexpr int kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};
void encode(const float* x, BlockIQ4_NL& b) {
  b.d = half(extreme(x, 32) / -127);
  const double d = value(b.d);
  for (int i = 0; i < 32; ++i) put_nibble(b.qs, i, nearest(kIq4Values, d == 0 ? 0 : x[i] / d));
}
constexpr double kFp4Values[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6};
void encode(const float* x, BlockMXFP4& b) {
  const double amax = range_of(x, 32).magnitude();
  // The largest value, 6, has exponent 2.
  const int exponent = amax == 0 ? -127 : std::clamp(std::ilogb(amax) - 2, -127, 127);
  b.e = static_cast<uint8_t>(exponent + 127);
  for (int i = 0; i < 32; ++i)
    put_nibble(b.qs, i, nearest(kFp4Values, std::ldexp(x[i], -exponent)));
}

// Float scales of sub-blocks, rounded to integers times a common step.
template <int n, class Get>
double common_step(Get get, int limit) {
  double most = 0;
  for (int k = 0; k < n; ++k) most = std::max(most, get(k));
  return most / limit;
}

void encode(const float* x, BlockQ2_K& b) {
  const auto range = [x](int k) { return range_of(x + 16 * k, 16); };
  b.d = half(common_step<16>([&](int k) { return (range(k).high - range(k).low) / 3; }, 15));
  b.dmin = half(common_step<16>([&](int k) { return -range(k).low; }, 15));
  for (int i = 0; i < 256; ++i) {
    const Range r = range(i / 16);
    const int scale = rounded((r.high - r.low) / 3, value(b.d), 0, 15);
    const int min = rounded(-r.low, value(b.dmin), 0, 15);
    b.scales[i / 16] = static_cast<uint8_t>(scale | min << 4);
    const int q = rounded(x[i] + min * value(b.dmin), scale * value(b.d), 0, 3);
    put_bits(b.qs[i / 128 * 32 + i % 32], i / 32 % 4 * 2, q);
  }
}

void encode(const float* x, BlockQ3_K& b) {
  const auto wanted = [x](int k) { return std::fabs(extreme(x + 16 * k, 16)) / 4; };
  b.d = half(common_step<16>(wanted, 31));
  for (int k = 0; k < 16; ++k) {
    const double sign = extreme(x + 16 * k, 16) > 0 ? -1 : 1;  // the extreme becomes -4
    const int scale = rounded(sign * wanted(k), value(b.d), -32, 31);
    put_bits(b.scales[k % 8], k / 8 * 4, (scale + 32) & 15);
    put_bits(b.scales[8 + k % 4], k / 4 * 2, (scale + 32) >> 4);
    for (int i = 16 * k; i < 16 * k + 16; ++i) {
      const int q = rounded(x[i], scale * value(b.d), -4, 3) + 4;
      put_bits(b.qs[i / 128 * 32 + i % 32], i / 32 % 4 * 2, q & 3);
      put_bits(b.hmask[i % 32], i / 32, q >> 2);
    }
  }
}

void put_scale_and_min(ScalesAndMins& packed, int k, int scale, int min) {
  uint8_t* b = packed.bytes;
  if (k < 4) {
    put_bits(b[k], 0, scale);
    put_bits(b[k + 4], 0, min);
  } else {
    put_bits(b[k + 4], 0, scale & 15);
    put_bits(b[k + 4], 4, min & 15);
    put_bits(b[k - 4], 6, scale >> 4);
    put_bits(b[k], 6, min >> 4);
  }
}
// Q4_K and Q5_K; put(i, q) stores element i.
template <class Block, class Put>
void encode_with_mins(const float* x, Block& b, int max_quant, Put put) {
  const auto range = [x](int k) { return range_of(x + 32 * k, 32); };
  b.d = half(common_step<8>([&](int k) { return (range(k).high - range(k).low) / max_quant; }, 63));
  b.dmin = half(common_step<8>([&](int k) { return -range(k).low; }, 63));
  for (int k = 0; k < 8; ++k) {
    const int scale = rounded((range(k).high - range(k).low) / max_quant, value(b.d), 0, 63);
    const int min = rounded(-range(k).low, value(b.dmin), 0, 63);
    put_scale_and_min(b.scales, k, scale, min);
    for (int i = 32 * k; i < 32 * k + 32; ++i) {
      put(i, rounded(x[i] + min * value(b.dmin), scale * value(b.d), 0, max_quant));
    }
  }
}
void encode(const float* x, BlockQ4_K& b) {
  encode_with_mins(x, b, 15,
                   [&b](int i, int q) { put_bits(b.qs[i / 64 * 32 + i % 32], i / 32 % 2 * 4, q); });
}
void encode(const float* x, BlockQ5_K& b) {
  encode_with_mins(x, b, 31, [&b](int i, int q) {
    put_bits(b.qs[i / 64 * 32 + i % 32], i / 32 % 2 * 4, q & 15);
    put_bits(b.qh[i % 32], i / 32, q >> 4);
  });
}

void encode(const float* x, BlockQ6_K& b) {
  const auto wanted = [x](int k) { return range_of(x + 16 * k, 16).magnitude() / 31; };
  b.d = half(common_step<16>(wanted, 127));
  for (int i = 0; i < 256; ++i) {
    const int scale = rounded(wanted(i / 16), value(b.d), 0, 127);
    b.scales[i / 16] = static_cast<int8_t>(scale);
    const int q = rounded(x[i], scale * value(b.d), -32, 31) + 32;
    const int h = i / 128, j = i / 32 % 4;
    put_bits(b.ql[64 * h + 32 * (j % 2) + i % 32], j / 2 * 4, q & 15);
    put_bits(b.qh[32 * h + i % 32], 2 * j, q >> 4);
  }
}

void encode(const float* x, BlockIQ4_XS& b) {
  const auto wanted = [x](int k) { return std::fabs(extreme(x + 32 * k, 32)) / 127; };
  b.d = half(common_step<8>(wanted, 31));
  for (int k = 0; k < 8; ++k) {
    const double sign = extreme(x + 32 * k, 32) > 0 ? -1 : 1;  // the extreme becomes -127
    const int scale = rounded(sign * wanted(k), value(b.d), -32, 31);
    put_bits(b.scales_l[k / 2], k % 2 * 4, (scale + 32) & 15);
    put_bits(b.scales_h[k / 4], k % 4 * 2, (scale + 32) >> 4);
    const double step = scale * value(b.d);
    for (int i = 0; i < 32; ++i) {
      put_nibble(b.qs + 16 * k, i, nearest(kIq4Values, step == 0 ? 0 : x[32 * k + i] / step));
    }
  }
}

template <class Block>
void quantize_blocks(const float* x, int64_t n, int block_elements, uint8_t* row) {
  for (int64_t i = 0; i < n; i += block_elements) {
    Block block = {};
    encode(x + i, block);
    std::memcpy(row + i / block_elements * static_cast<int64_t>(sizeof block), &block,
                sizeof block);
  }
}

uint16_t narrow_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

void quantize(Format format, const float* x, int64_t n, uint8_t* row) noexcept {
  switch (format) {
    case Format::f32:
      std::memcpy(row, x, static_cast<size_t>(n) * sizeof *x);
      return;
    case Format::f16:
    case Format::bf16:
      for (int64_t i = 0; i < n; ++i) {
        const uint16_t bits = format == Format::f16 ? narrow_f16(x[i]) : narrow_bf16(x[i]);
        row[2 * i] = static_cast<uint8_t>(bits & 255);
        row[2 * i + 1] = static_cast<uint8_t>(bits >> 8);
      }
      return;
    case Format::q4_0:
      return quantize_blocks<BlockQ4_0>(x, n, 32, row);
    case Format::q4_1:
      return quantize_blocks<BlockQ4_1>(x, n, 32, row);
    case Format::q5_0:
      return quantize_blocks<BlockQ5_0>(x, n, 32, row);
    case Format::q5_1:
      return quantize_blocks<BlockQ5_1>(x, n, 32, row);
    case Format::q8_0:
      return quantize_blocks<BlockQ8_0>(x, n, 32, row);
    case Format::iq4_nl:
      return quantize_blocks<BlockIQ4_NL>(x, n, 32, row);
    case Format::mxfp4:
      return quantize_blocks<BlockMXFP4>(x, n, 32, row);
    case Format::q2_k:
      return quantize_blocks<BlockQ2_K>(x, n, 256, row);
    case Format::q3_k:
      return quantize_blocks<BlockQ3_K>(x, n, 256, row);
    case Format::q4_k:
      return quantize_blocks<BlockQ4_K>(x, n, 256, row);
    case Format::q5_k:
      return quantize_blocks<BlockQ5_K>(x, n, 256, row);
    case Format::q6_k:
      return quantize_blocks<BlockQ6_K>(x, n, 256, row);
    case Format::iq4_xs:
      return quantize_blocks<BlockIQ4_XS>(x, n, 256, row);
  }
}

}  // namespace larder::quant::reference
