// One (super-)block of each of 16 rows, transposed: vector k of a 32 holds its quants 4 k to 4 k +
// 3 of every row, which is what a dot-product instruction multiplies with 4 activations.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// A transposed vector as the bytes that it is.
template <class Ints>
struct ColumnBytes {
  Ints lanes;

  [[gnu::always_inline]] static ColumnBytes broadcast(uint8_t x) {
    return {Ints::broadcast(static_cast<int32_t>(x * 0x01010101u))};
  }
  [[gnu::always_inline]] friend ColumnBytes operator&(ColumnBytes a, ColumnBytes b) {
    return {a.lanes & b.lanes};
  }
  [[gnu::always_inline]] friend ColumnBytes operator|(ColumnBytes a, ColumnBytes b) {
    return {a.lanes | b.lanes};
  }
};
template <int n, class Ints>
[[gnu::always_inline]] inline ColumnBytes<Ints> shift_left(ColumnBytes<Ints> a) {
  return {shift_left<n>(a.lanes)};
}
template <int n, class Ints>
[[gnu::always_inline]] inline ColumnBytes<Ints> shift_right(ColumnBytes<Ints> a) {
  return {shift_right<n>(a.lanes)};
}

// 4 bytes of each chunk of 16 rows, out of transposed chunks of 8 vectors each.
template <class Ints, class Dot>
struct ColumnChunks {
  const uint8_t* first;
  template <size_t offset>
  [[gnu::always_inline]] ColumnBytes<Ints> at() const {
    constexpr size_t chunk = [] {
      size_t c = 0;
      while (Dot::kChunks[c] != offset) ++c;
      return c;
    }();
    return {Ints::load(reinterpret_cast<const int32_t*>(first + chunk * 8 * 64))};
  }
};

template <class Isa, class Dot, class = void>
struct TileQuants;

// Formats of chunks of 32 bytes that hold bits of several 32s.
template <class Isa, class Dot>
requires requires { Dot::kChunks; }
struct TileQuants<Isa, Dot> {
  using Ints = typename Isa::Ints;
  using Bytes = typename Isa::Bytes;
  static_assert(Dot::kMaxQuant <= 127, "quants of 8 bits may have to become signed");
  static constexpr size_t kCount = sizeof Dot::kChunks / sizeof Dot::kChunks[0];
  alignas(64) uint8_t chunks[kCount][8][64];

  [[gnu::always_inline]] void load(const uint8_t* const* rows, size_t at) {
    for (size_t c = 0; c < kCount; ++c) {
      Bytes chunk[kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) chunk[r] = Bytes::load(rows[r] + at + Dot::kChunks[c]);
      Isa::template store_panel<0>(chunk, chunks[c][0]);
    }
  }
  template <int i, int k>
  [[gnu::always_inline]] Ints vector() const {
    return unpack<Dot, i>(ColumnChunks<Ints, Dot>{chunks[0][k]}).lanes;
  }
};

// Formats of nibbles: each 16 bytes hold a 32, its first half in the low nibbles.
template <class Isa, class Dot>
requires requires { Dot::kNibbles; }
struct TileQuants<Isa, Dot> {
  using Ints = typename Isa::Ints;
  static constexpr int kCount =
      sizeof(typename Dot::Activation) == sizeof(ActivationBlock256) ? 8 : 1;
  static constexpr bool kHasFifthBits = requires { Dot::kFifthBits; };
  Ints bytes[kCount][4];
  Ints fifth_bits;  // bit k of lane r: of quant k of row r

  [[gnu::always_inline]] void load(const uint8_t* const* rows, size_t at) {
    for_each_index<kCount>([&](auto i) __attribute__((always_inline)) {
      constexpr int group = decltype(i)::value;
      Isa::load_columns(rows, at + Dot::kNibbles + 16 * group, bytes[group]);
    });
    if constexpr (kHasFifthBits) {
      Ints columns[4];
      Isa::load_columns(rows, at + Dot::kFifthBits, columns);
      fifth_bits = columns[0];
    }
  }
  template <int i, int k>
  [[gnu::always_inline]] Ints vector() const {
    const Ints four_bits = Ints::broadcast(0x0f0f0f0f);
    Ints quants = shift_right<k / 4 * 4>(bytes[i][k % 4]) & four_bits;
    if constexpr (kHasFifthBits) {
      // 4 bits times 2^4 + 2^11 + 2^18 + 2^25: bit j comes to bit 4 of byte j
      const Ints bits = shift_right<4 * k>(fifth_bits) & Ints::broadcast(15);
      quants = quants | ((bits * Ints::broadcast(0x02040810)) & Ints::broadcast(0x10101010));
    }
    if constexpr (requires { Dot::kTable; }) quants = Isa::look_up_bytes(Dot::kTable, quants);
    if constexpr (Isa::template offset_left<Dot::kMaxQuant>(Dot::kOffset) != Dot::kOffset) {
      quants = quants ^ Ints::broadcast(static_cast<int32_t>(0x80808080));
    }
    return quants;
  }
};

// Formats of whole bytes.
template <class Isa, class Dot>
requires requires { Dot::kBytes; }
struct TileQuants<Isa, Dot> {
  using Ints = typename Isa::Ints;
  using Bytes = typename Isa::Bytes;
  alignas(64) uint8_t vectors[8][64];

  [[gnu::always_inline]] void load(const uint8_t* const* rows, size_t at) {
    Bytes bytes[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      bytes[r] = Bytes::load(rows[r] + at + Dot::kBytes) ^ Bytes::broadcast(0x80);
    }
    Isa::template store_panel<Dot::kMaxQuant>(bytes, vectors[0]);
  }
  template <int, int k>
  [[gnu::always_inline]] Ints vector() const {
    return Ints::load(reinterpret_cast<const int32_t*>(vectors[k]));
  }
};

}  // namespace larder::quant
