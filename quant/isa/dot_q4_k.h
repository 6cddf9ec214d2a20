#pragma once

#include "quant/isa/dot.h"
#include "quant/isa/scales_and_mins.h"

namespace larder::quant {

template <class Isa>
struct DotQ4_K {
  using Block = BlockQ4_K;
  using Activation = ActivationBlock256;
  static constexpr size_t kChunks[] = {offsetof(Block, qs), offsetof(Block, qs) + 32,
                                       offsetof(Block, qs) + 64, offsetof(Block, qs) + 96};
  static constexpr int kMaxQuant = 15, kOffset = 0, kScaleGroup = 32, kChunkHolds = 2;
  static constexpr bool kHasMins = true;
  static constexpr size_t kScale = offsetof(Block, d), kMin = offsetof(Block, dmin);
  static constexpr size_t kPanelScales = offsetof(Block, d);

  static constexpr BitField low_bits(int i) { return {kChunks[i / 2], 15, i % 2 * 4, 0}; }
  [[gnu::always_inline]] static ScaleWords<typename Isa::Words> unpack_scales(const Block& block) {
    const auto both = Isa::Words::from_6_bit_scales(block.scales.bytes);
    return {low_words(both), high_words(both)};
  }
  [[gnu::always_inline]] static PanelScales<Isa> unpack_panel_scales(
      const typename Isa::Ints* columns) {
    return unpack_scales_and_mins<Isa>(columns);
  }
};

}  // namespace larder::quant
