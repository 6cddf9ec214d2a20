// A tile of packed panels times tokens: kTilePanels panels with up to kTileTokens tokens. A step is
// one load of weights a panel, one broadcast load a token, and one multiplication for each pair of
// them.
#pragma once

#include "quant/isa/panel.h"

namespace larder::quant {

template <class Isa, class Dot>
struct PanelTile {
  using Layout = Panel<Isa, Dot>;
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Packed = typename Layout::Packed;
  using Activation = typename Dot::Activation;
  static constexpr bool kIsSuperBlock = Layout::kIsSuperBlock;
  static constexpr int kBlock = Layout::kBlock, kOffset = Layout::kOffset;
  static constexpr int kPanels = Isa::kTilePanels;
  static constexpr int kSlice = 256 / kBlock;  // blocks of a panel that are done together
  static constexpr int kGroup = [] {           // steps that share a scale
    if constexpr (kIsSuperBlock) return Dot::kScaleGroup / 4;
    return kBlock / 4;
  }();

  // Some blocks of kPanels panels, the tokens' rows and their float sums.
  struct Slice {
    const Packed* blocks[kPanels];
    int32_t first_block, n_blocks;
    const void* const* x;
    float (*acc)[kPanels][kPanelRows];
  };

  // acc += the blocks times the first n_tokens tokens.
  template <int32_t n_tokens>
  [[gnu::noinline]] static void add(const Slice& slice) {
    const Activation* x[n_tokens];
#pragma GCC unroll 8
    for (int32_t t = 0; t < n_tokens; ++t) {
      x[t] = static_cast<const Activation*>(slice.x[t]) + slice.first_block;
    }
    const Packed* blocks[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) blocks[p] = slice.blocks[p];
    if constexpr (kIsSuperBlock) {
      add_block<n_tokens>(blocks, x, slice.acc);
    } else {
      for (int32_t b = 0; b < slice.n_blocks; ++b) {
        add_block<n_tokens>(blocks, x, slice.acc);
        for (const Activation*& row : x) ++row;
        for (const Packed*& block : blocks) ++block;
      }
    }
  }

 private:
  // acc += one block of each panel times each token.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_block(const Packed* const* blocks,
                                               const Activation* const* x,
                                               float (*acc)[kPanels][kPanelRows]) {
    Ints sums[n_tokens][kPanels];
    if constexpr (kOffset != 0) {
      side_dots<n_tokens, -kOffset>(blocks, x, sums);
    } else {
      clear<n_tokens>(sums);
    }
    add_products<n_tokens>(blocks, x, sums);
    [[maybe_unused]] Ints mins[n_tokens][kPanels];
    if constexpr (Dot::kHasMins) side_dots<n_tokens, 1>(blocks, x, mins);
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      const Floats d = Floats::load(blocks[p]->d);
#pragma GCC unroll 8
      for (int32_t t = 0; t < n_tokens; ++t) {
        const Floats scale = Floats::broadcast(x[t]->scale);
        Floats sum = fma(d * scale, to_float(sums[t][p]), Floats::load(acc[t][p]));
        if constexpr (Dot::kHasMins) {
          sum = fma(Floats::load(blocks[p]->negative_min) * scale, to_float(mins[t][p]), sum);
        }
        sum.store(acc[t][p]);
      }
    }
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void clear(Ints (*sums)[kPanels]) {
#pragma GCC unroll 8
    for (int32_t t = 0; t < n_tokens; ++t) {
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) sums[t][p] = Ints::zero();
    }
  }

  // Sums of the products of a block, exact.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_products(const Packed* const* blocks,
                                                  const Activation* const* x,
                                                  Ints (*sums)[kPanels]) {
    if constexpr (Layout::kKeepsChunks) {
      for (int i = 0; i < 8; i += Dot::kChunkHolds) {
        const int first = 8 * i / Dot::kChunkHolds;  // vector of the chunk
        for_each_index<Dot::kChunkHolds>([&](auto index) __attribute__((always_inline)) {
          constexpr int place = decltype(index)::value;
          add_steps<n_tokens, 8>(
              blocks, 8 * (i + place), x, sums, [&](int p, int k) __attribute__((always_inline)) {
                return unpack<Dot, place>(ColumnChunks<Ints, Dot>{blocks[p]->quants[first + k]})
                    .lanes;
              });
        });
      }
    } else {
      constexpr int kExact = Isa::template steps_exact<Dot::kMaxQuant>();
      constexpr int kRun = kExact < kGroup ? (kExact >= 4 ? 4 : kExact >= 2 ? 2 : 1) : kGroup;
      for (int step = 0; step < kBlock / 4; step += kRun) {
        add_steps<n_tokens, kRun>(
            blocks, step, x, sums, [&](int p, int k) __attribute__((always_inline)) {
              return Ints::load(reinterpret_cast<const int32_t*>(blocks[p]->quants[step + k]));
            });
      }
    }
  }

  // n_steps steps from `step` on, each out of the vector quants_of(panel, 0 to n_steps - 1).
  template <int32_t n_tokens, int n_steps, class Quants>
  [[gnu::always_inline]] static void add_steps(const Packed* const* blocks, int step,
                                               const Activation* const* x, Ints (*sums)[kPanels],
                                               Quants quants_of) {
    constexpr int kRun = n_steps < kGroup ? n_steps : kGroup;
    for (int first = 0; first < n_steps; first += kRun) {
      Ints partial[n_tokens][kPanels];
      clear<n_tokens>(partial);
#pragma GCC unroll 8
      for (int i = 0; i < kRun; ++i) {
        Ints quants[kPanels];
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) quants[p] = quants_of(p, first + i);
#pragma GCC unroll 8
        for (int32_t t = 0; t < n_tokens; ++t) {
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) {
            partial[t][p] = Isa::template step<Dot::kMaxQuant>(partial[t][p], quants[p],
                                                               x[t]->q + 4 * (step + first + i));
          }
        }
      }
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        if constexpr (kIsSuperBlock) {
          const Ints scale = Ints::load(blocks[p]->scales[(step + first) / kGroup]);
#pragma GCC unroll 8
          for (int32_t t = 0; t < n_tokens; ++t)
            sums[t][p] = Isa::add_scaled(sums[t][p], partial[t][p], scale);
        } else {
#pragma GCC unroll 8
          for (int32_t t = 0; t < n_tokens; ++t)
            sums[t][p] = Isa::add_partial(sums[t][p], partial[t][p]);
        }
      }
    }
  }

  // Of the groups' integers that PanelBlock::pairs holds and the activations' sums.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void pair_dots(const Packed* const* blocks,
                                               const Activation* const* x, Ints (*dots)[kPanels]) {
    clear<n_tokens>(dots);
#pragma GCC unroll 8
    for (int i = 0; i < 256 / Dot::kScaleGroup / 2; ++i) {
      Ints pairs[kPanels];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) pairs[p] = Ints::load(blocks[p]->pairs[i]);
#pragma GCC unroll 8
      for (int32_t t = 0; t < n_tokens; ++t) {
        const int16_t* sums = Dot::kScaleGroup == 16 ? x[t]->sums_16 : x[t]->sums_32;
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p)
          dots[t][p] = Isa::step_pairs(dots[t][p], pairs[p], sums + 2 * i);
      }
    }
  }
  // What is not among the products: of super-blocks their pairs, of others `factor` times the
  // activations' sum.
  template <int32_t n_tokens, int factor>
  [[gnu::always_inline]] static void side_dots(const Packed* const* blocks,
                                               const Activation* const* x, Ints (*dots)[kPanels]) {
    if constexpr (kIsSuperBlock) {
      pair_dots<n_tokens>(blocks, x, dots);
    } else {
#pragma GCC unroll 8
      for (int32_t t = 0; t < n_tokens; ++t) {
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) dots[t][p] = Ints::broadcast(factor * x[t]->sum);
      }
    }
  }
};

}  // namespace larder::quant
