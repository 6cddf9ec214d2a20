#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ6_K {
  using Block = BlockQ6_K;
  using Activation = ActivationBlock256;
  using Floats = typename Isa::Floats;
  static constexpr size_t kChunks[] = {offsetof(Block, ql),      offsetof(Block, ql) + 32,
                                       offsetof(Block, ql) + 64, offsetof(Block, ql) + 96,
                                       offsetof(Block, qh),      offsetof(Block, qh) + 32};
  static constexpr int kMaxQuant = 63, kOffset = 32, kScaleGroup = 16;
  static constexpr bool kHasMins = false;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    constexpr int half = i / 4, j = i % 4;
    return move_bits<j / 2 * 4, 0>(chunks.template at<kChunks[2 * half + j % 2]>(), 15) |
           move_bits<2 * j, 4>(chunks.template at<kChunks[4 + half]>(), 3);
  }
  [[gnu::always_inline]] static ScaleWords<typename Isa::Words> unpack_scales(const Block& block) {
    return {Isa::Words::from_int8(block.scales), Isa::Words::broadcast(0)};
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
};

}  // namespace larder::quant
