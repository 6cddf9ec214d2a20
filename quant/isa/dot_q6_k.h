#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ6_K {
  using Block = BlockQ6_K;
  using Activation = ActivationBlock256;
  static constexpr size_t kChunks[] = {offsetof(Block, ql),      offsetof(Block, ql) + 32,
                                       offsetof(Block, ql) + 64, offsetof(Block, ql) + 96,
                                       offsetof(Block, qh),      offsetof(Block, qh) + 32};
  static constexpr int kMaxQuant = 63, kOffset = 32, kScaleGroup = 16;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);

  static constexpr BitField low_bits(int i) {
    return {kChunks[i / 4 * 2 + i % 2], 15, i % 4 / 2 * 4, 0};
  }
  static constexpr BitField high_bits(int i) { return {kChunks[4 + i / 4], 3, i % 4 * 2, 4}; }
  [[gnu::always_inline]] static ScaleWords<typename Isa::Words> unpack_scales(const Block& block) {
    return {Isa::Words::from_int8(block.scales), Isa::Words::broadcast(0)};
  }
};

}  // namespace larder::quant
