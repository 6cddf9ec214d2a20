// Q4_0 and Q4_1.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ4_0 {
  using Block = BlockQ4_0;
  using Activation = ActivationBlock32;
  using Bytes = typename Isa::Bytes;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 15, kOffset = 8;
  static constexpr bool kHasMins = false;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return Bytes::load_nibbles(chunks.block.qs);
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
};

template <class Isa>
struct DotQ4_1 {
  using Block = BlockQ4_1;
  using Activation = ActivationBlock32;
  using Bytes = typename Isa::Bytes;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 15, kOffset = 0;
  static constexpr bool kHasMins = true;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return Bytes::load_nibbles(chunks.block.qs);
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
  // The block's m is added, not subtracted.
  [[gnu::always_inline]] static Floats negative_mins(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, m));
  }
};

}  // namespace larder::quant
