// What the integer kernels of all formats share. A format is a struct template dot_<format>.h:
//   Block, Activation      the blocks it multiplies
//   kMaxQuant              quants are unsigned, 0 to kMaxQuant
//   kOffset                subtracted from quants to give the weight, before scaling
//   kHasMins               whether a float minimum per (super-)block is subtracted
//   low_bits(i), high_bits(i)
//                          (in most super-block formats) which bits of which chunks of 32 bytes are
//                          those of quants 32 i to 32 i + 31: quant k out of byte k of a chunk
//   kChunks                where those chunks start. Such formats are packed by transposing them.
//   kChunkHolds            (where a chunk makes quants without the others) how many 32s, in order
//   kNibbles               (in most others) where 16 bytes for each 32 start; the low nibbles are
//                          the quants of its first half
//   kFifthBits             (where quants have one more bit) where those of 32 quants are, in order
//   kTable                 (where nibbles are places in a table) the 16 quants
//   kBytes                 (in the others) where 32 signed quants start
//   kScale, kMin           where the scale is and (where kHasMins) the minimum, float16
//   kMinSign               (where it is not subtracted) 1
//   Scale, widen_scales(p) (where it is not a float16) what the scale is, and 16 of them as floats
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

// The bits of mask << from of every byte of 32, moved to `to`.
struct BitField {
  size_t chunk;  // where in a block the bytes start
  uint8_t mask;
  int from, to;
};

// Quants of two 32s side by side, where an instruction set has nothing better for them.
template <class Bytes>
struct BytePair {
  Bytes first, second;

  [[gnu::always_inline]] static BytePair broadcast(uint8_t x) {
    return {Bytes::broadcast(x), Bytes::broadcast(x)};
  }
  [[gnu::always_inline]] static BytePair load(const uint8_t* p, const uint8_t* q) {
    return {Bytes::load(p), Bytes::load(q)};
  }
  // Of 16 bytes each the low nibbles, then the high ones.
  [[gnu::always_inline]] static BytePair load_nibbles(const uint8_t* p, const uint8_t* q) {
    return {Bytes::load_nibbles(p), Bytes::load_nibbles(q)};
  }
  // 32 bits each: `value` where they are set.
  [[gnu::always_inline]] static BytePair spread_bits(const uint8_t* p, const uint8_t* q,
                                                     uint8_t value) {
    return {Bytes::spread_bits(p, value), Bytes::spread_bits(q, value)};
  }
  [[gnu::always_inline]] friend BytePair operator^(BytePair a, BytePair b) {
    return {a.first ^ b.first, a.second ^ b.second};
  }
  [[gnu::always_inline]] friend BytePair operator|(BytePair a, BytePair b) {
    return {a.first | b.first, a.second | b.second};
  }
};
template <class Bytes>
[[gnu::always_inline]] inline BytePair<Bytes> look_up(const uint8_t* table, BytePair<Bytes> a) {
  return {look_up(table, a.first), look_up(table, a.second)};
}

// A block's bytes in a row of weights.
template <class Bytes>
struct RowChunks {
  const uint8_t* block;
  template <size_t offset>
  [[gnu::always_inline]] Bytes at() const {
    return Bytes::load(block + offset);
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

// f(Index<count>), or f(Index<most>) where count is more.
template <int most, class F>
[[gnu::always_inline]] inline void with_count(int32_t count, F f) {
  if constexpr (most > 1) {
    if (count < most) return with_count<most - 1>(count, f);
  }
  f(Index<most>{});
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

template <BitField field, class Chunks>
[[gnu::always_inline]] inline auto bits_of(const Chunks& chunks) {
  return move_bits<field.from, field.to>(chunks.template at<field.chunk>(), field.mask);
}
// Quants 32 i to 32 i + 31 of a block of bit fields.
template <class Dot, int i, class Chunks>
[[gnu::always_inline]] inline auto unpack(const Chunks& chunks) {
  if constexpr (requires { Dot::high_bits(i); }) {
    return bits_of<Dot::low_bits(i)>(chunks) | bits_of<Dot::high_bits(i)>(chunks);
  } else {
    return bits_of<Dot::low_bits(i)>(chunks);
  }
}
// Quants 64 i to 64 i + 63 of a super-block.
template <class Isa, class Dot, int i>
[[gnu::always_inline]] inline typename Isa::Pair unpack_64(const uint8_t* block) {
  constexpr int j = 2 * i;
  if constexpr (requires { Dot::high_bits(i); }) {
    return Isa::template pair_of_bits<Dot::low_bits(j), Dot::low_bits(j + 1)>(block) |
           Isa::template pair_of_bits<Dot::high_bits(j), Dot::high_bits(j + 1)>(block);
  } else if constexpr (requires { Dot::low_bits(i); }) {
    return Isa::template pair_of_bits<Dot::low_bits(j), Dot::low_bits(j + 1)>(block);
  } else {
    const uint8_t* const nibbles = block + Dot::kNibbles + 32 * i;
    return look_up(Dot::kTable, Isa::Pair::load_nibbles(nibbles, nibbles + 16));
  }
}
// The same, by 32s.
template <BitField first, BitField second, class Bytes>
[[gnu::always_inline]] inline BytePair<Bytes> pair_of_bits(const uint8_t* block) {
  const RowChunks<Bytes> chunks{block};
  return {bits_of<first>(chunks), bits_of<second>(chunks)};
}

// The quants of two blocks of 32.
template <class Isa, class Dot>
[[gnu::always_inline]] inline typename Isa::Pair unpack_pair(const uint8_t* p, const uint8_t* q) {
  using Pair = typename Isa::Pair;
  if constexpr (requires { Dot::kBytes; }) {
    return Pair::load(p + Dot::kBytes, q + Dot::kBytes) ^ Pair::broadcast(0x80);
  } else {
    Pair quants = Pair::load_nibbles(p + Dot::kNibbles, q + Dot::kNibbles);
    if constexpr (requires { Dot::kFifthBits; }) {
      quants = quants | Pair::spread_bits(p + Dot::kFifthBits, q + Dot::kFifthBits, 16);
    }
    if constexpr (requires { Dot::kTable; }) quants = look_up(Dot::kTable, quants);
    return quants;
  }
}

// The scales of 16 rows, their blocks `at` bytes from each row's start.
template <class Isa, class Dot>
[[gnu::always_inline]] inline typename Isa::Floats gather_scales(const uint8_t* const* rows,
                                                                 size_t at) {
  if constexpr (requires { typename Dot::Scale; }) {
    typename Dot::Scale scales[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      __builtin_memcpy(&scales[r], rows[r] + at + Dot::kScale, sizeof scales[r]);
    }
    return Dot::widen_scales(scales);
  } else {
    return Isa::gather_f16(rows, at + Dot::kScale);
  }
}
template <class Isa, class Dot>
[[gnu::always_inline]] inline typename Isa::Floats gather_negative_mins(const uint8_t* const* rows,
                                                                        size_t at) {
  if constexpr (requires { Dot::kMinSign; }) {
    return Isa::gather_f16(rows, at + Dot::kMin);
  } else {
    return -Isa::gather_f16(rows, at + Dot::kMin);
  }
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
