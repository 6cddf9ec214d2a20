#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ2_K {
  using Block = BlockQ2_K;
  using Activation = ActivationBlock256;
  using Words = typename Isa::Words;
  using Floats = typename Isa::Floats;
  static constexpr size_t kChunks[] = {offsetof(Block, qs), offsetof(Block, qs) + 32};
  static constexpr int kMaxQuant = 3, kOffset = 0, kScaleGroup = 16, kChunkHolds = 4;
  static constexpr bool kHasMins = true;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return move_bits<i % 4 * 2, 0>(chunks.template at<kChunks[i / 4]>(), 3);
  }
  [[gnu::always_inline]] static ScaleWords<Words> unpack_scales(const Block& block) {
    const Words both = Words::from_uint8(block.scales);
    return {both & Words::broadcast(15), shift_right<4>(both)};
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
  [[gnu::always_inline]] static Floats negative_mins(const uint8_t* const* rows, size_t at) {
    return -Isa::gather_f16(rows, at + offsetof(Block, dmin));
  }
};

}  // namespace larder::quant
