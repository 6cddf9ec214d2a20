// Weights of any format for tests: random quants, scales of ordinary size.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "quant/format.h"

namespace larder::quant {

// An array on a cache line's boundary.
template <class T>
class AlignedArray {
 public:
  explicit AlignedArray(size_t n) : lines_((n * sizeof(T) + 63) / 64 + 1) {}
  T* data() { return reinterpret_cast<T*>(lines_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(lines_.data()); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }

 private:
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  std::vector<Line> lines_;
};

// Byte offsets of the float16 scales in a block, -1 for none. Source: ggml block layouts, 2026-08.
struct HalfOffsets {
  int first = -1, second = -1;
};
inline HalfOffsets half_offsets(Format format) {
  switch (format) {
    case Format::q4_0:
    case Format::q5_0:
    case Format::q8_0:
    case Format::iq4_nl:
    case Format::iq4_xs:
      return {0, -1};
    case Format::q4_1:
    case Format::q5_1:
    case Format::q4_k:
    case Format::q5_k:
      return {0, 2};
    case Format::q2_k:
      return {80, 82};
    case Format::q3_k:
      return {108, -1};
    case Format::q6_k:
      return {208, -1};
    default:
      return {};
  }
}

inline std::vector<uint8_t> random_weights(Format format, int64_t n_rows, int64_t n_cols,
                                           uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<uint8_t> bytes(row_bytes(format, n_cols) * static_cast<size_t>(n_rows));
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  // A half between 2^-9 and 2^-5, either sign.
  const auto half = [&] {
    return static_cast<uint16_t>((random() & 0x8000) | (6 + random() % 4) << 10 |
                                 (random() & 0x3ff));
  };
  const FormatTraits& traits = *find_format(static_cast<int32_t>(format));
  const HalfOffsets offsets = half_offsets(format);
  for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(traits.block_bytes)) {
    uint8_t* const block = bytes.data() + at;
    const auto put = [&](int offset, auto value) {
      if (offset >= 0) std::memcpy(block + offset, &value, sizeof value);
    };
    put(offsets.first, half());
    put(offsets.second, half());
    if (format == Format::mxfp4) put(0, static_cast<uint8_t>(118 + random() % 8));
    if (format == Format::f32) put(0, normal(random));
    if (format == Format::f16) put(0, half());
    if (format == Format::bf16) put(0, static_cast<uint16_t>((random() & 0x807f) | 0x3e00));
  }
  return bytes;
}

}  // namespace larder::quant
