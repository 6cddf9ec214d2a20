// Matrix times few vectors, from super-blocks: 16 rows at a time, each of them whole, in the order
// of the file, so that memory is read as one stream. A block's exact sums stay spread over lanes
// until those of 16 blocks are added up together: of 16 places in a row, or of one place in 16
// rows. Streams the weights once for every kTokens tokens.
#pragma once

#include "quant/isa/read_ahead.h"

namespace larder::quant {

template <class Isa, class Dot>
struct Gemv {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Words = typename Isa::Words;
  using Sums = typename Isa::Sums;
  using WideSums = typename Isa::WideSums;
  using Block = typename Dot::Block;
  using Activation = typename Dot::Activation;
  static constexpr int kBlock = 256;
  static constexpr int kOffset = Isa::template offset_left<Dot::kMaxQuant>(Dot::kOffset);
  static constexpr int32_t kTokens = Isa::kRowTokens;

  static void run(const WeightRows& weights, const ActivationRows& x,
                  const OutputRows& out) noexcept {
    const int32_t n_blocks = weights.n_cols / kBlock;
    const int32_t run_blocks = n_blocks <= kMostRunBlocks ? n_blocks : kMostGroups * kGroup;
    RunWalk<Block> ahead(weights, n_blocks, run_blocks);
    ahead.skip(kReadAheadBytes);
    for (int32_t row = 0; row < weights.n_rows; row += kPanelRows) {
      const RowTile tile = row_tile<Isa>(weights, row);
      const RunWalk<Block> at_tile = ahead;
      for (int32_t t = 0; t < x.n_tokens; t += kTokens) {
        ahead = at_tile;
        float* const to = out.data + static_cast<size_t>(t) * out.stride + row;
        const Job job{tile, n_blocks, run_blocks, x.rows + t, to, out.stride, ahead};
        with_count<kTokens>(x.n_tokens - t,
                            [&](auto count) { tokens<decltype(count)::value>(job); });
      }
    }
  }

 private:
  static constexpr int32_t kGroup = 16;
  // A run of blocks of each row in turn is a whole row, if it is not wider than 30,720 columns:
  // where runs end in the middle of rows, 4,096 to 14,336 columns were read at 0.6 to 0.8 of the
  // memory's speed on Zen 5, instead of 0.9.
  static constexpr int32_t kMostGroups = 7, kMostLeft = 8;
  static constexpr int32_t kMostRunBlocks = kMostGroups * kGroup + kMostLeft;

  struct Job {
    const RowTile& tile;
    int32_t n_blocks, run_blocks;
    const void* const* x;
    float* out;
    size_t out_stride;
    RunWalk<Block>& ahead;
  };
  // Of 16 blocks, for each token. Scales are float16, minimums their upper halves.
  template <int32_t n_tokens>
  struct BlockSums {
    Sums dots[n_tokens][kGroup];
    Sums mins[n_tokens][Dot::kHasMins ? kGroup : 1];
    int32_t scales[kGroup];
  };
  // 16 such, added up: vector i of what lane j of each came from, and the other way round when
  // turned.
  template <int32_t n_tokens>
  struct Totals {
    Ints dots[n_tokens][kGroup];
    Ints mins[n_tokens][Dot::kHasMins ? kGroup : 1];
    Ints scales[kGroup];
  };

  template <int32_t n_tokens>
  static void tokens(const Job& job) {
    Floats acc[n_tokens];
    for (Floats& a : acc) a = Floats::zero();
    if (job.n_blocks <= kMostLeft) {
      add_runs<n_tokens, false>(job, 0, job.n_blocks, acc);
    } else {
      for (int32_t first = 0; first < job.n_blocks; first += job.run_blocks) {
        const int32_t left = job.n_blocks - first;
        add_runs<n_tokens, true>(job, first, left < job.run_blocks ? left : job.run_blocks, acc);
      }
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t].store_partial(job.out + static_cast<size_t>(t) * job.out_stride, job.tile.n_rows);
    }
  }

  // Blocks [first, first + n_blocks) of the tile's rows: groups of 16 along the row, and what is
  // left, unless that is most of a group, across the rows.
  template <int32_t n_tokens, bool has_groups>
  [[gnu::always_inline]] static void add_runs(const Job& job, int32_t first, int32_t n_blocks,
                                              Floats* acc) {
    const int32_t n_groups = has_groups ? (n_blocks + kGroup - 1 - kMostLeft) / kGroup : 0;
    const int32_t n_along = n_groups * kGroup < n_blocks ? n_groups * kGroup : n_blocks;
    Totals<n_tokens> groups[has_groups ? kMostGroups : 1];  // lanes: blocks, until they are turned
    BlockSums<n_tokens> left[kMostLeft];                    // of 16 rows
    if (job.tile.n_rows < kPanelRows) {
      const auto n_left = static_cast<size_t>(n_blocks - n_along);
      __builtin_memset(static_cast<void*>(groups), 0, n_groups * sizeof groups[0]);
      __builtin_memset(static_cast<void*>(left), 0, n_left * sizeof left[0]);
    }
    const Activation* x[n_tokens];
    for (int32_t t = 0; t < n_tokens; ++t) x[t] = static_cast<const Activation*>(job.x[t]) + first;
    for (int32_t r = 0; r < job.tile.n_rows; ++r) {
      const uint8_t* block = job.tile.rows[r] + static_cast<size_t>(first) * sizeof(Block);
      const uint8_t* ahead = job.ahead.run();
      job.ahead.next();
      const auto add_block = [&](int32_t b, BlockSums<n_tokens> & sums, int32_t i)
          __attribute__((always_inline)) {
        prefetch<Isa>(ahead, sizeof(Block));
        row_sums<n_tokens>(block, x, b, i, sums);
        block += sizeof(Block);
        ahead += sizeof(Block);
      };
      for (int32_t b = 0; b < n_along; b += kGroup) {
        BlockSums<n_tokens> sums;
        const int32_t n = n_along - b < kGroup ? n_along - b : kGroup;
        if (n < kGroup) __builtin_memset(static_cast<void*>(&sums), 0, sizeof sums);
        Isa::prefetch(ahead + kWalkAheadBytes);
        for (int32_t i = 0; i < n; ++i) add_block(b + i, sums, i);
        add_up(sums, groups[b / kGroup], r);
      }
      if (n_along < n_blocks) Isa::prefetch(ahead + kWalkAheadBytes);
      for (int32_t b = n_along; b < n_blocks; ++b) add_block(b, left[b - n_along], r);
    }
    for (int32_t b = 0; b < n_along; b += kGroup) {
      turn(groups[b / kGroup]);
      end_blocks(x, b, n_along - b < kGroup ? n_along - b : kGroup, groups[b / kGroup], acc);
    }
    if (n_along == n_blocks) return;
    Totals<n_tokens> last;
    for (int32_t b = n_along; b < n_blocks; ++b) add_up(left[b - n_along], last, b - n_along);
    end_blocks(x, n_along, n_blocks - n_along, last, acc);
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void row_sums(const uint8_t* block, const Activation* const* x,
                                              int32_t b, int32_t i, BlockSums<n_tokens>& out) {
    const ScaleWords<Words> integers = Dot::unpack_scales(*reinterpret_cast<const Block*>(block));
    WideSums dots[n_tokens];
    for (WideSums& s : dots) s = WideSums::zero();
    for_each_64([&](auto index) __attribute__((always_inline)) {
      constexpr int k = decltype(index)::value;
      const auto quants = unpack_64<Isa, Dot, k>(block);
      for (int32_t t = 0; t < n_tokens; ++t) {
        dots[t] = Isa::template dot_scaled_64<Dot::kMaxQuant, Dot::kScaleGroup, k>(
            dots[t], quants, x[t][b].q + 64 * k, integers.scales);
      }
    });
    for (int32_t t = 0; t < n_tokens; ++t) {
      const Words sums = Words::load(Dot::kScaleGroup == 16 ? x[t][b].sums_16 : x[t][b].sums_32);
      Sums total = Isa::narrow(dots[t]);
      if constexpr (kOffset != 0) {
        total = Isa::dot_words(total, integers.scales * Words::broadcast(-kOffset), sums);
      }
      out.dots[t][i] = total;
      if constexpr (Dot::kHasMins) {
        out.mins[t][i] = Isa::dot_words(Sums::zero(), integers.mins, sums);
      }
    }
    int32_t scales = 0;
    if constexpr (Dot::kHasMins) {
      static_assert(Dot::kMin == Dot::kScale + 2);
      __builtin_memcpy(&scales, block + Dot::kScale, 4);
    } else {
      __builtin_memcpy(&scales, block + Dot::kScale, 2);
    }
    out.scales[i] = scales;
  }

  // Vector i of the totals.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_up(const BlockSums<n_tokens>& sums, Totals<n_tokens>& out,
                                            int32_t i) {
    for (int32_t t = 0; t < n_tokens; ++t) {
      out.dots[t][i] = Isa::reduce_rows(sums.dots[t]);
      if constexpr (Dot::kHasMins) out.mins[t][i] = Isa::reduce_rows(sums.mins[t]);
    }
    out.scales[i] = Ints::load(sums.scales);
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void turn(Totals<n_tokens>& totals) {
    for (int32_t t = 0; t < n_tokens; ++t) {
      Isa::transpose_16x16(totals.dots[t]);
      if constexpr (Dot::kHasMins) Isa::transpose_16x16(totals.mins[t]);
    }
    Isa::transpose_16x16(totals.scales);
  }

  // Blocks [first, first + n), vector i of the totals for first + i, its lanes rows.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void end_blocks(const Activation* const (&x)[n_tokens],
                                                int32_t first, int32_t n,
                                                const Totals<n_tokens>& totals, Floats* acc) {
    for (int32_t i = 0; i < n; ++i) {
      const Floats scales = Isa::low_f16(totals.scales[i]);
      for (int32_t t = 0; t < n_tokens; ++t) {
        const Floats scale = Floats::broadcast(x[t][first + i].scale);
        acc[t] = fma(scales * scale, to_float(totals.dots[t][i]), acc[t]);
        if constexpr (Dot::kHasMins) {
          const Floats min = -Isa::high_f16(totals.scales[i]) * scale;
          acc[t] = fma(min, to_float(totals.mins[t][i]), acc[t]);
        }
      }
    }
  }
};

}  // namespace larder::quant
