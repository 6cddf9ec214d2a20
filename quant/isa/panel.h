// 16 rows of weights, unpacked once for many tokens and transposed so that a vector of 64 bytes
// holds 4 consecutive k of each row (panel_gemm.h multiplies them).
#pragma once

#include "quant/isa/tile.h"
#include "quant/isa/tile_scales.h"

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
  int32_t pairs[256 / Dot::kScaleGroup / 2][kPanelRows];  // minimums, or the scales again
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
      TileQuants<Isa, Dot> quants;
      quants.load(tile.rows, at);
      pack_quants(quants, blocks[b]);
      if constexpr (kIsSuperBlock) {
        pack_scales(TileScales<Isa, Dot>(tile.rows, at), tile.n_rows, blocks[b]);
      } else {
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

  [[gnu::always_inline]] static void pack_scales(const TileScales<Isa, Dot>& scales, int32_t n_rows,
                                                 Packed& out) {
    store_rows(scales.d, n_rows, out.d);
    if constexpr (Dot::kHasMins) store_rows(scales.negative_min, n_rows, out.negative_min);
    for_each_index<256 / Dot::kScaleGroup>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      scales.template scale<i>().store(out.scales[i]);
      if constexpr (i % 2 == 0) scales.summed()[i / 2].store(out.pairs[i / 2]);
    });
  }
};

}  // namespace larder::quant
