// What the integer kernels of all formats share. A format is a struct template dot_<format>.h:
//   Block, Activation      the blocks it multiplies
//   kMaxQuant              quants are unsigned, 0 to kMaxQuant
//   kOffset                subtracted from quants to give the weight, before scaling
//   kHasMins               whether a float minimum per (super-)block is subtracted
//   quants<i>(chunks)      quants 32 i to 32 i + 31, out of the block's bytes
//   kChunks                (in most super-block formats) where in a block the chunks of 32 bytes
//                          start that quants are made of, byte for byte: quant k of the 32 out of
//                          byte k of chunks. Such formats are packed by transposing the chunks.
//   kChunkHolds            (where a chunk makes quants without the others) how many 32s, in order
//   scales(rows, at)       float scales of 16 rows, their blocks `at` bytes from each row's start
//   negative_mins(...)     likewise the minimums, negated (where kHasMins)
// and for super-blocks
//   kScaleGroup            16 or 32 weights share an integer scale
//   unpack_scales(block)   the integer scales and (where kHasMins) minimums, 256 / kScaleGroup of
//                          them in order, further words 0
//   kPanelScales, unpack_panel_scales(columns)
//                          (where all scales are in 16 bytes) where those start, and the scales of
//                          16 rows out of them, transposed
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/activation_block.h"
#include "quant/block.h"
#include "quant/kernel_set.h"

namespace larder::quant {

template <class Words>
struct ScaleWords {
  Words scales, mins;
};

// The scales of one super-block of 16 rows: lane r for row r. The integers are pairs of words, in
// order; with 16 of them a block, others are minimums or offsets * scales.
template <class Isa>
struct PanelScales {
  typename Isa::Floats d, negative_min;
  typename Isa::Ints scales[4], others[4];
};

// A block's bytes in a row of weights.
template <class Bytes, class Block>
struct RowChunks {
  const Block& block;
  template <size_t offset>
  [[gnu::always_inline]] Bytes at() const {
    return Bytes::load(reinterpret_cast<const uint8_t*>(&block) + offset);
  }
};

template <int i>
struct Index {
  static constexpr int value = i;
};

// f(Index<0>) ... f(Index<n - 1>)
template <int n, class F>
[[gnu::always_inline]] inline void for_each_index(F f) {
  if constexpr (n > 1) for_each_index<n - 1>(f);
  f(Index<n - 1>{});
}

// The eight 32s of a super-block.
template <class F>
[[gnu::always_inline]] inline void for_each_32(F f) {
  for_each_index<8>(f);
}

// Its four 64s.
template <class F>
[[gnu::always_inline]] inline void for_each_64(F f) {
  for_each_index<4>(f);
}

// The bits of width_mask << from of every byte, moved to `to`, the others cleared.
template <int from, int to, class Bytes>
[[gnu::always_inline]] inline Bytes move_bits(Bytes x, uint8_t width_mask) {
  const Bytes mask = Bytes::broadcast(static_cast<uint8_t>(width_mask << to));
  if constexpr (from > to) return shift_right<from - to>(x) & mask;
  if constexpr (from < to) return shift_left<to - from>(x) & mask;
  return x & mask;
}

// The first bytes of 16 rows of weights. Where a matrix has fewer left, the last row is repeated,
// so that kernels need not branch; what it gives is not stored.
struct RowTile {
  const uint8_t* rows[kPanelRows];
  int32_t n_rows;
};

template <class Isa>
[[gnu::always_inline]] inline RowTile row_tile(const WeightRows& weights, int32_t first) {
  RowTile tile;
  tile.n_rows = weights.n_rows - first < kPanelRows ? weights.n_rows - first : kPanelRows;
  for (int32_t r = 0; r < kPanelRows; ++r) {
    const int32_t row = first + (r < tile.n_rows ? r : tile.n_rows - 1);
    tile.rows[r] = weights.data + static_cast<size_t>(row) * weights.row_bytes;
  }
  return tile;
}

}  // namespace larder::quant
