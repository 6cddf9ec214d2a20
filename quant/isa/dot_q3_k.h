#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ3_K {
  using Block = BlockQ3_K;
  using Activation = ActivationBlock256;
  using Words = typename Isa::Words;
  static constexpr size_t kChunks[] = {offsetof(Block, qs), offsetof(Block, qs) + 32,
                                       offsetof(Block, hmask)};
  static constexpr int kMaxQuant = 7, kOffset = 4, kScaleGroup = 16;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);

  static constexpr BitField low_bits(int i) { return {kChunks[i / 4], 3, i % 4 * 2, 0}; }
  static constexpr BitField high_bits(int i) { return {kChunks[2], 1, i, 2}; }
  [[gnu::always_inline]] static ScaleWords<Words> unpack_scales(const Block& block) {
    uint64_t nibbles;
    uint32_t tops;
    __builtin_memcpy(&nibbles, block.scales, sizeof nibbles);
    __builtin_memcpy(&tops, block.scales + 8, sizeof tops);
    const auto top = [tops](int k) {
      return static_cast<uint64_t>(tops >> 2 * k & 0x03030303) << 4;
    };
    const uint64_t low = (nibbles & 0x0f0f0f0f0f0f0f0f) | top(0) | top(1) << 32;
    const uint64_t high = (nibbles >> 4 & 0x0f0f0f0f0f0f0f0f) | top(2) | top(3) << 32;
    return {Words::from_16_bytes(low, high) - Words::broadcast(32), Words::broadcast(0)};
  }
};

}  // namespace larder::quant
