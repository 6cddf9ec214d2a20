#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// Eight scales and minimums out of 12 bytes, four at a time. Shared with Q5_K.
template <class Isa>
[[gnu::always_inline]] inline ScaleWords<typename Isa::Words> unpack_scales_and_mins(
    const ScalesAndMins& packed) {
  uint32_t part[3];
  __builtin_memcpy(part, packed.bytes, sizeof part);
  const uint32_t low_scales = part[0] & 0x3f3f3f3f, low_mins = part[1] & 0x3f3f3f3f;
  const uint32_t high_scales = (part[2] & 0x0f0f0f0f) | (part[0] >> 2 & 0x30303030);
  const uint32_t high_mins = (part[2] >> 4 & 0x0f0f0f0f) | (part[1] >> 2 & 0x30303030);
  return {Isa::Words::from_8_bytes(static_cast<uint64_t>(high_scales) << 32 | low_scales),
          Isa::Words::from_8_bytes(static_cast<uint64_t>(high_mins) << 32 | low_mins)};
}

template <class Isa>
struct DotQ4_K {
  using Block = BlockQ4_K;
  using Activation = ActivationBlock256;
  using Bytes = typename Isa::Bytes;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 15, kOffset = 0, kScaleGroup = 32;
  static constexpr bool kHasMins = true;

  template <int i>
  [[gnu::always_inline]] static Bytes quants(const Block& block) {
    return move_bits<i % 2 * 4, 0>(Bytes::load(block.qs + i / 2 * 32), 15);
  }
  [[gnu::always_inline]] static ScaleWords<typename Isa::Words> unpack_scales(const Block& block) {
    return unpack_scales_and_mins<Isa>(block.scales);
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
  [[gnu::always_inline]] static Floats negative_mins(const uint8_t* const* rows, size_t at) {
    return -Isa::gather_f16(rows, at + offsetof(Block, dmin));
  }
};

}  // namespace larder::quant
