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
  using Scale = uint8_t;
  using Ints = typename Isa::Ints;
  using Floats = typename Isa::Floats;
  static constexpr size_t kNibbles = offsetof(Block, qs);
  static constexpr const uint8_t* kTable = kFp4Quants;
  static constexpr int kMaxQuant = 24, kOffset = 12;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, e);
  // 2^(e - 128): half of what e says, since the quants are doubled. Below e = 2 it is subnormal.
  [[gnu::always_inline]] static Floats widen_scales(const uint8_t* exponents) {
    const Ints e = Ints::load_uint8(exponents), one = Ints::broadcast(1), two = Ints::broadcast(2);
    const Ints subnormal = shift_left<21>(max(e + e, one));  // 2^-128, 2^-127
    return from_bits(select(less(e, two), subnormal, shift_left<23>(e - one)));
  }
};

}  // namespace larder::quant
