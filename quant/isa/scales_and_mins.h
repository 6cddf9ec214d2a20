// The first 16 bytes of Q4_K and Q5_K blocks (block.h: d, dmin, ScalesAndMins) of 16 rows at a
// time.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// Bytes 2 i and 2 i + 1 of every lane, widened to a pair of words.
template <int i, class Ints>
[[gnu::always_inline]] inline Ints pair_of_bytes(Ints x) {
  const Ints low = Ints::broadcast(0xff), high = Ints::broadcast(0xff0000);
  if constexpr (i == 0) return (x & low) | (shift_left<8>(x) & high);
  return (shift_right<16>(x) & low) | (shift_right<8>(x) & high);
}

// columns[i] is dword i of the 16 bytes. Pair i is integers 2 i and 2 i + 1.
template <class Isa>
[[gnu::always_inline]] inline PanelScales<Isa> unpack_scales_and_mins(
    const typename Isa::Ints* columns) {
  using Ints = typename Isa::Ints;
  const Ints six = Ints::broadcast(0x3f3f3f3f), four = Ints::broadcast(0x0f0f0f0f);
  const Ints two = Ints::broadcast(0x30303030);
  const Ints last = columns[3];
  const Ints scales[2] = {columns[1] & six, (last & four) | (shift_right<2>(columns[1]) & two)};
  const Ints mins[2] = {columns[2] & six,
                        (shift_right<4>(last) & four) | (shift_right<2>(columns[2]) & two)};
  return {Isa::low_f16(columns[0]),
          -Isa::high_f16(columns[0]),
          {pair_of_bytes<0>(scales[0]), pair_of_bytes<1>(scales[0]), pair_of_bytes<0>(scales[1]),
           pair_of_bytes<1>(scales[1])},
          {pair_of_bytes<0>(mins[0]), pair_of_bytes<1>(mins[0]), pair_of_bytes<0>(mins[1]),
           pair_of_bytes<1>(mins[1])}};
}

}  // namespace larder::quant
