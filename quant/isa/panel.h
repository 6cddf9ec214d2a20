// 16 rows of weights, unpacked once for many tokens and transposed so that a vector of 64 bytes
// holds 4 consecutive k of each row (panel_gemm.h multiplies them).
#pragma once

#include "quant/isa/tile.h"

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

template <class Isa, class Dot>
struct Panel {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Words = typename Isa::Words;
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
      const uint8_t* rows[kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) rows[r] = tile.rows[r] + at;
      TileQuants<Isa, Dot> quants;
      quants.load(tile.rows, at);
      pack_quants(quants, blocks[b]);
      if constexpr (requires { Dot::kPanelScales; }) {
        pack_scales(tile, at, blocks[b]);
      } else {
        if constexpr (kIsSuperBlock) pack_integers(rows, blocks[b]);
        // Scales of 0 turn the repeated last row into zeros.
        store_rows(gather_scales<Isa, Dot>(tile.rows, at), tile.n_rows, blocks[b].d);
        if constexpr (Dot::kHasMins) {
          store_rows(gather_negative_mins<Isa, Dot>(tile.rows, at), tile.n_rows,
                     blocks[b].negative_min);
        }
      }
    }
  }

 private:
  static void store_rows(Floats x, int32_t n_rows, float* out) {
    Floats::zero().store(out);
    x.store_partial(out, n_rows);
  }

  [[gnu::always_inline]] static void pack_quants(const TileQuants<Isa, Dot>& quants, Packed& out) {
    if constexpr (kKeepsChunks) {
      __builtin_memcpy(out.quants, quants.chunks, sizeof out.quants);
    } else {
      for_each_index<kBlock / 32>([&](auto group) __attribute__((always_inline)) {
        constexpr int i = decltype(group)::value;
        for_each_index<8>([&](auto index) __attribute__((always_inline)) {
          constexpr int k = decltype(index)::value;
          quants.template vector<i, k>().store(reinterpret_cast<int32_t*>(out.quants[8 * i + k]));
        });
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

  static void pack_integers(const uint8_t* const* rows, Packed& out) {
    Words scales[kPanelRows], others[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      const ScaleWords<Words> integers =
          Dot::unpack_scales(*reinterpret_cast<const Block*>(rows[r]));
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
