#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ8_0 {
  using Block = BlockQ8_0;
  using Activation = ActivationBlock32;
  static constexpr size_t kBytes = offsetof(Block, qs);
  static constexpr int kMaxQuant = 255, kOffset = 128;
  static constexpr bool kHasMins = false;
  static constexpr size_t kScale = offsetof(Block, d);
};

}  // namespace larder::quant
