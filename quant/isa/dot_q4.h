// Q4_0 and Q4_1.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ4_0 {
  using Block = BlockQ4_0;
  using Activation = ActivationBlock32;
  static constexpr size_t kNibbles = offsetof(Block, qs);
  static constexpr int kMaxQuant = 15, kOffset = 8;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);
};

template <class Isa>
struct DotQ4_1 {
  using Block = BlockQ4_1;
  using Activation = ActivationBlock32;
  static constexpr size_t kNibbles = offsetof(Block, qs);
  // The block's m is added, not subtracted.
  static constexpr int kMaxQuant = 15, kOffset = 0, kMinSign = 1;
  static constexpr bool kHasMins = true;
  static constexpr size_t kScale = offsetof(Block, d), kMin = offsetof(Block, m);
};

}  // namespace larder::quant
