#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// Twice the values of E2M1: 0, 1, 2, 3, 4, 6, 8, 12 and their negatives, each plus 12.
// Source: OCP Microscaling Formats 1.0, table 5.
constexpr uint8_t kFp4Quants[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

template <class Isa>
struct DotMXFP4 {
  using Block = BlockMXFP4;
  using Activation = ActivationBlock32;
  using Bytes = typename Isa::Bytes;
  using Ints = typename Isa::Ints;
  using Floats = typename Isa::Floats;
  static constexpr int kMaxQuant = 24, kOffset = 12;
  static constexpr bool kHasMins = false;

  template <int i, class Chunks>
  [[gnu::always_inline]] static auto quants(const Chunks& chunks) {
    return look_up(kFp4Quants, Bytes::load_nibbles(chunks.block.qs));
  }
  // 2^(e - 128): half of what e says, since the quants are doubled. Below e = 2 it is subnormal.
  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    int32_t exponents[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) exponents[r] = rows[r][at];
    const Ints e = Ints::load(exponents), one = Ints::broadcast(1), two = Ints::broadcast(2);
    const Ints subnormal = shift_left<21>(max(e + e, one));  // 2^-128, 2^-127
    return from_bits(select(less(e, two), subnormal, shift_left<23>(e - one)));
  }
};

}  // namespace larder::quant
