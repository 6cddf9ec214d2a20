// 16 rows of weights, unpacked once for many tokens and transposed so that a vector of 64 bytes
// holds 4 consecutive k of each row (panel_gemm.h multiplies them).
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// Whether panels keep a format's transposed chunks as they are.
template <class Isa, class Dot>
constexpr bool keeps_chunks() {
  if constexpr (requires { Dot::kChunkHolds; }) return Isa::kUnpacksInStep;
  return false;
}

// Vectors of quants, or of bytes that hold several quants each, in a (super-)block.
template <class Isa, class Dot>
constexpr int quant_vectors() {
  if (sizeof(typename Dot::Activation) == sizeof(ActivationBlock32)) return 8;
  if constexpr (keeps_chunks<Isa, Dot>()) return 64 / Dot::kChunkHolds;
  return 64;
}

// One (super-)block of 16 rows. A vector of quants is [row][k % 4]; kept chunks are vectors of
// bytes k / 4 of each chunk.
template <class Dot, int n_vectors>
struct PanelBlock;

template <class Dot, int n_vectors>
requires(sizeof(typename Dot::Activation) ==
         sizeof(ActivationBlock256)) struct alignas(64) PanelBlock<Dot, n_vectors> {
  uint8_t quants[n_vectors][64];
  int32_t scales[256 / Dot::kScaleGroup][kPanelRows];     // as add_scaled reads them
  int32_t pairs[256 / Dot::kScaleGroup / 2][kPanelRows];  // minimums, or offsets * scales
  float d[kPanelRows];
  float negative_min[kPanelRows];
};

template <class Dot, int n_vectors>
requires(sizeof(typename Dot::Activation) ==
         sizeof(ActivationBlock32)) struct alignas(64) PanelBlock<Dot, n_vectors> {
  uint8_t quants[n_vectors][64];
  float d[kPanelRows];
  float negative_min[kPanelRows];
};

// A vector of a panel as the bytes that it is.
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

template <class Isa, class Dot>
struct Panel {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Words = typename Isa::Words;
  using Bytes = typename Isa::Bytes;
  using Block = typename Dot::Block;
  using Activation = typename Dot::Activation;
  static constexpr bool kIsSuperBlock = sizeof(Activation) == sizeof(ActivationBlock256);
  static constexpr int kBlock = kIsSuperBlock ? 256 : 32;
  static constexpr int kOffset = Isa::template offset_left<Dot::kMaxQuant>(Dot::kOffset);
  static constexpr bool kKeepsChunks = keeps_chunks<Isa, Dot>();
  using Packed = PanelBlock<Dot, quant_vectors<Isa, Dot>()>;

  static size_t bytes(int32_t n_cols) noexcept {
    return static_cast<size_t>(n_cols / kBlock) * sizeof(Packed);
  }

  static void pack(const WeightRows& weights, void* panel) noexcept {
    const RowTile tile = row_tile<Isa>(weights, 0);
    auto* blocks = static_cast<Packed*>(panel);
    for (int32_t b = 0; b < weights.n_cols / kBlock; ++b) {
      const size_t at = static_cast<size_t>(b) * sizeof(Block);
      const Block* rows[kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) {
        rows[r] = reinterpret_cast<const Block*>(tile.rows[r] + at);
      }
      pack_quants(rows, blocks[b]);
      if constexpr (requires { Dot::kPanelScales; }) {
        pack_scales(tile, at, blocks[b]);
      } else {
        if constexpr (kIsSuperBlock) pack_integers(rows, blocks[b]);
        // Scales of 0 turn the repeated last row into zeros.
        store_rows(Dot::scales(tile.rows, at), tile.n_rows, blocks[b].d);
        if constexpr (Dot::kHasMins) {
          store_rows(Dot::negative_mins(tile.rows, at), tile.n_rows, blocks[b].negative_min);
        }
      }
    }
  }

 private:
  static void store_rows(Floats x, int32_t n_rows, float* out) {
    Floats::zero().store(out);
    x.store_partial(out, n_rows);
  }

  static void pack_quants(const Block* const* rows, Packed& out) {
    if constexpr (kKeepsChunks) {
      transpose_chunks(rows, out.quants[0]);
    } else if constexpr (requires { Dot::kChunks; }) {
      pack_chunks(rows, out);
    } else if constexpr (kIsSuperBlock) {
      for_each_32([&](auto index) { pack_32<decltype(index)::value>(rows, out); });
    } else {
      pack_32<0>(rows, out);
    }
  }

  // Unpacks, then transposes.
  template <int i>
  static void pack_32(const Block* const* rows, Packed& out) {
    Bytes quants[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      quants[r] = Dot::template quants<i>(RowChunks<Bytes, Block>{*rows[r]});
    }
    Isa::template store_panel<Dot::kMaxQuant>(quants, out.quants[8 * i]);
  }

  // out[chunk][8][64]
  static void transpose_chunks(const Block* const* rows, uint8_t* out) {
    static_assert(Dot::kMaxQuant <= 127, "quants of 8 bits may have to become signed");
    for (const size_t offset : Dot::kChunks) {
      Bytes chunk[kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) {
        chunk[r] = Bytes::load(reinterpret_cast<const uint8_t*>(rows[r]) + offset);
      }
      Isa::template store_panel<0>(chunk, out);
      out += 8 * 64;
    }
  }

  // Transposes, then unpacks: there are half as many bytes to transpose.
  static void pack_chunks(const Block* const* rows, Packed& out) {
    alignas(64) uint8_t columns[sizeof Dot::kChunks / sizeof Dot::kChunks[0]][8][64];
    transpose_chunks(rows, columns[0][0]);
    for (int k = 0; k < 8; ++k) {
      for_each_32([&](auto index) {
        constexpr int i = decltype(index)::value;
        const auto quants = Dot::template quants<i>(ColumnChunks<Ints, Dot>{columns[0][k]});
        quants.lanes.store(reinterpret_cast<int32_t*>(out.quants[8 * i + k]));
      });
    }
  }

  static void pack_scales(const RowTile& tile, size_t at, Packed& out) {
    Ints columns[4];
    Isa::load_columns(tile.rows, at + Dot::kPanelScales, columns);
    const PanelScales<Isa> unpacked = Dot::unpack_panel_scales(columns);
    store_rows(unpacked.d, tile.n_rows, out.d);
    store_rows(unpacked.negative_min, tile.n_rows, out.negative_min);
    for (int i = 0; i < 4; ++i) {
      Isa::low_scale(unpacked.scales[i]).store(out.scales[2 * i]);
      Isa::high_scale(unpacked.scales[i]).store(out.scales[2 * i + 1]);
      unpacked.others[i].store(out.pairs[i]);
    }
  }

  static void pack_integers(const Block* const* rows, Packed& out) {
    Words scales[kPanelRows], others[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      const ScaleWords<Words> integers = Dot::unpack_scales(*rows[r]);
      scales[r] = integers.scales;
      if constexpr (Dot::kHasMins) {
        others[r] = integers.mins;
      } else {
        others[r] = integers.scales * Words::broadcast(-kOffset);
      }
    }
    constexpr int kPairs = 256 / Dot::kScaleGroup / 2;
    int32_t pairs[8][kPanelRows];
    Isa::store_pairs(others, pairs[0]);
    __builtin_memcpy(out.pairs, pairs, sizeof out.pairs);
    Isa::store_pairs(scales, pairs[0]);
    for (int i = 0; i < kPairs; ++i) {
      const Ints both = Ints::load(pairs[i]);
      Isa::low_scale(both).store(out.scales[2 * i]);
      Isa::high_scale(both).store(out.scales[2 * i + 1]);
    }
  }
};

}  // namespace larder::quant
