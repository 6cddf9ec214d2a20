// IQ4_NL and IQ4_XS: nibbles are places in a table of 16 values.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113, each plus 128.
// Source: ggml block layouts, 2026-08.
constexpr uint8_t kIq4Quants[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                    129, 141, 153, 166, 181, 197, 217, 241};

template <class Isa>
struct DotIQ4_NL {
  using Block = BlockIQ4_NL;
  using Activation = ActivationBlock32;
  static constexpr size_t kNibbles = offsetof(Block, qs);
  static constexpr const uint8_t* kTable = kIq4Quants;
  static constexpr int kMaxQuant = 241, kOffset = 128;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);
};

template <class Isa>
struct DotIQ4_XS {
  using Block = BlockIQ4_XS;
  using Activation = ActivationBlock256;
  using Words = typename Isa::Words;
  static constexpr size_t kNibbles = offsetof(Block, qs);
  static constexpr const uint8_t* kTable = kIq4Quants;
  static constexpr int kMaxQuant = 241, kOffset = 128, kScaleGroup = 32;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);
  // Each nibble of scales_l and each bit pair of scales_h moves to a byte of its own.
  [[gnu::always_inline]] static ScaleWords<Words> unpack_scales(const Block& block) {
    uint32_t nibbles;
    uint16_t pairs;
    __builtin_memcpy(&nibbles, block.scales_l, sizeof nibbles);
    __builtin_memcpy(&pairs, block.scales_h, sizeof pairs);
    uint64_t low = nibbles, high = pairs;
    low = (low | low << 16) & 0x0000ffff0000ffff;
    low = (low | low << 8) & 0x00ff00ff00ff00ff;
    low = (low | low << 4) & 0x0f0f0f0f0f0f0f0f;
    high = (high | high << 24) & 0x000000ff000000ff;
    high = (high | high << 12) & 0x000f000f000f000f;
    high = (high | high << 6) & 0x0303030303030303;
    return {Words::from_8_bytes(low | high << 4) - Words::from_8_bytes(0x2020202020202020),
            Words::broadcast(0)};
  }
};

}  // namespace larder::quant
