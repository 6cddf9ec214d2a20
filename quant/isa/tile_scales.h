// The scales of one super-block of each of 16 rows, transposed.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// Pairs of words: integers 2 i and 2 i + 1 of each row.
template <class Isa, class Dot>
struct TileScales {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Words = typename Isa::Words;
  static constexpr int kPairs = 256 / Dot::kScaleGroup / 2;

  Floats d, negative_min;  // the latter only with minimums
  Ints scales[kPairs], mins[kPairs];

  [[gnu::always_inline]] TileScales(const uint8_t* const* rows, size_t at) {
    if constexpr (requires { Dot::kPanelScales; }) {
      Ints columns[4];
      Isa::load_columns(rows, at + Dot::kPanelScales, columns);
      const PanelScales<Isa> unpacked = Dot::unpack_panel_scales(columns);
      d = unpacked.d;
      negative_min = unpacked.negative_min;
      for_each_index<kPairs>([&](auto index) __attribute__((always_inline)) {
        scales[decltype(index)::value] = unpacked.scales[decltype(index)::value];
        if constexpr (Dot::kHasMins) {
          mins[decltype(index)::value] = unpacked.mins[decltype(index)::value];
        }
      });
    } else {
      d = Dot::scales(rows, at);
      if constexpr (Dot::kHasMins) negative_min = Dot::negative_mins(rows, at);
      unpack_rows(rows, at);
    }
  }

  // Scale i of each row, as add_scaled reads it.
  template <int i>
  [[gnu::always_inline]] Ints scale() const {
    return i % 2 ? Isa::high_scale(scales[i / 2]) : Isa::low_scale(scales[i / 2]);
  }
  // What is multiplied with the sums of activations: minimums, or, where quants have an offset,
  // scales.
  [[gnu::always_inline]] const Ints* summed() const { return Dot::kHasMins ? mins : scales; }

 private:
  [[gnu::always_inline]] void unpack_rows(const uint8_t* const* rows, size_t at) {
    Words row_scales[kPanelRows], row_mins[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      const ScaleWords<Words> integers =
          Dot::unpack_scales(*reinterpret_cast<const typename Dot::Block*>(rows[r] + at));
      row_scales[r] = integers.scales;
      row_mins[r] = integers.mins;
    }
    transpose(row_scales, scales);
    if constexpr (Dot::kHasMins) transpose(row_mins, mins);
  }
  [[gnu::always_inline]] static void transpose(const Words* rows, Ints* pairs) {
    alignas(64) int32_t all[8][kPanelRows];
    Isa::store_pairs(rows, all[0]);
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) pairs[i] = Ints::load(all[i]);
  }
};

}  // namespace larder::quant
