// Q5_0 and Q5_1.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ5_0 {
  using Block = BlockQ5_0;
  using Activation = ActivationBlock32;
  static constexpr size_t kNibbles = offsetof(Block, qs), kFifthBits = offsetof(Block, qh);
  static constexpr int kMaxQuant = 31, kOffset = 16;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);
};

template <class Isa>
struct DotQ5_1 {
  using Block = BlockQ5_1;
  using Activation = ActivationBlock32;
  static constexpr size_t kNibbles = offsetof(Block, qs), kFifthBits = offsetof(Block, qh);
  // The block's m is added, not subtracted.
  static constexpr int kMaxQuant = 31, kOffset = 0, kMinSign = 1;
  static constexpr bool kHasMins = true;
  static constexpr size_t kScale = offsetof(Block, d), kMin = offsetof(Block, m);
};

}  // namespace larder::quant
