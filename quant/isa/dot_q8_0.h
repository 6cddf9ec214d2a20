#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ8_0 {
  using Block = BlockQ8_0;
  using Activation = ActivationBlock32;
  using Bytes = typename Isa::Bytes;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 255, kOffset = 128;
  static constexpr bool kHasMins = false;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return Bytes::load(chunks.block.qs) ^ Bytes::broadcast(0x80);
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
};

}  // namespace larder::quant
