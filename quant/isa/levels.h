// The values that a format's quants may take, and which of them is nearest to a number.
#pragma once

#include <cstdint>

#include "quant/isa/dequantize.h"
#include "quant/isa/lanes.h"

namespace larder::quant {

// To the nearest integer, ties to even. REQUIRES: |x| < 2^22.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats round_lanes(typename Isa::Floats x) {
  const auto shift = Isa::Floats::broadcast(0x1.8p23f);
  return (x + shift) - shift;
}

// low, low + 1, ... high.
template <int low, int high>
struct IntegerLevels {
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::Floats nearest(typename Isa::Floats x) {
    using Floats = typename Isa::Floats;
    const Floats rounded = round_lanes<Isa>(x);
    return min(max(rounded, Floats::broadcast(low)), Floats::broadcast(high));
  }
  // How blocks spell a level.
  [[gnu::always_inline]] static uint8_t code(int level) {
    return static_cast<uint8_t>(level - low);
  }
};

// The entries of a table: ascending, halves of neighbours' sums are the boundaries between them.
template <class Isa, int n>
[[gnu::always_inline]] inline typename Isa::Floats nearest_entry(typename Isa::Floats x,
                                                                 const int8_t (&ascending)[n]) {
  using Floats = typename Isa::Floats;
  Floats level = Floats::broadcast(ascending[0]);
  for (int k = 1; k < n; ++k) {
    const Floats boundary =
        Floats::broadcast(0.5f * static_cast<float>(ascending[k - 1] + ascending[k]));
    level = select(less(boundary, x), Floats::broadcast(ascending[k]), level);
  }
  return level;
}

// From an entry of a table to its place there.
struct LevelCodes {
  uint8_t code[256];
};
constexpr LevelCodes codes_of(const int8_t (&table)[16]) {
  LevelCodes codes = {};
  for (int k = 15; k >= 0; --k) codes.code[table[k] + 128] = static_cast<uint8_t>(k);
  return codes;
}
constexpr LevelCodes kIq4Codes = codes_of(kIq4Table);
constexpr LevelCodes kFp4Codes = codes_of(kFp4Table);

struct Iq4Levels {
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::Floats nearest(typename Isa::Floats x) {
    return nearest_entry<Isa>(x, kIq4Table);
  }
  [[gnu::always_inline]] static uint8_t code(int level) { return kIq4Codes.code[level + 128]; }
};

// Those of kFp4Table, FP4 E2M1 doubled.
struct Fp4Levels {
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::Floats nearest(typename Isa::Floats x) {
    using Floats = typename Isa::Floats;
    constexpr int8_t kMagnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    const Floats magnitude = nearest_entry<Isa>(abs(x), kMagnitudes);
    return select(less(x, Floats::zero()), -magnitude, magnitude);
  }
  [[gnu::always_inline]] static uint8_t code(int level) { return kFp4Codes.code[level + 128]; }
};

}  // namespace larder::quant
