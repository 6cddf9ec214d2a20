#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ2_K {
  using Block = BlockQ2_K;
  using Activation = ActivationBlock256;
  using Words = typename Isa::Words;
  static constexpr size_t kChunks[] = {offsetof(Block, qs), offsetof(Block, qs) + 32};
  static constexpr int kMaxQuant = 3, kOffset = 0, kScaleGroup = 16, kChunkHolds = 4;
  static constexpr bool kHasMins = true;
  static constexpr size_t kScale = offsetof(Block, d), kMin = offsetof(Block, dmin);

  static constexpr BitField low_bits(int i) { return {kChunks[i / 4], 3, i % 4 * 2, 0}; }
  [[gnu::always_inline]] static ScaleWords<Words> unpack_scales(const Block& block) {
    const Words both = Words::from_uint8(block.scales);
    return {both & Words::broadcast(15), shift_right<4>(both)};
  }
};

}  // namespace larder::quant
