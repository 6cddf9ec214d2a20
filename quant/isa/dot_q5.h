// Q5_0 and Q5_1.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ5_0 {
  using Block = BlockQ5_0;
  using Activation = ActivationBlock32;
  using Bytes = typename Isa::Bytes;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 31, kOffset = 16;
  static constexpr bool kHasMins = false;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return Bytes::load_nibbles(chunks.block.qs) | Bytes::spread_bits(chunks.block.qh, 16);
  }
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
};

template <class Isa>
struct DotQ5_1 {
  using Block = BlockQ5_1;
  using Activation = ActivationBlock32;
  using Bytes = typename Isa::Bytes;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 31, kOffset = 0;
  static constexpr bool kHasMins = true;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return Bytes::load_nibbles(chunks.block.qs) | Bytes::spread_bits(chunks.block.qh, 16);
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
