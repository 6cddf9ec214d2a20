#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa>
struct DotQ8_0 {
  using Block = BlockQ8_0;
  using Activation = ActivationBlock32;
  using Floats = typename Isa::Floats;
  static constexpr size_t kBytes = offsetof(Block, qs);
  static constexpr int kMaxQuant = 255, kOffset = 128;
  static constexpr bool kHasMins = false;

  [[gnu::always_inline]] static Floats scales(const uint8_t* const* rows, size_t at) {
    return Isa::gather_f16(rows, at + offsetof(Block, d));
  }
};

}  // namespace larder::quant
