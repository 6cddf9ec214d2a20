// Matrix times few vectors, from the native blocks: 16 rows at a time, block after block. Each
// row's exact sum stays spread over lanes until 16 of them are added up together. Streams the
// weights once for every kTokens tokens; while it works on a tile of rows it prefetches the next.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

template <class Isa, class Dot>
struct Gemv {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Bytes = typename Isa::Bytes;
  using Words = typename Isa::Words;
  using Sums = typename Isa::Sums;
  using WideSums = typename Isa::WideSums;
  using Block = typename Dot::Block;
  using Activation = typename Dot::Activation;
  static constexpr bool kIsSuperBlock = sizeof(Activation) == sizeof(ActivationBlock256);
  static constexpr int kBlock = kIsSuperBlock ? 256 : 32;
  static constexpr int kOffset = Isa::template offset_left<Dot::kMaxQuant>(Dot::kOffset);
  static constexpr int32_t kTokens = Isa::kRowTokens;

  static void run(const WeightRows& weights, const ActivationRows& x,
                  const OutputRows& out) noexcept {
    for (int32_t row = 0; row < weights.n_rows; row += kPanelRows) {
      const RowTile tile = row_tile<Isa>(weights, row);
      const size_t next_tile = weights.row_bytes * kPanelRows;
      for (int32_t t = 0; t < x.n_tokens; t += kTokens) {
        const Job job{tile,
                      next_tile,
                      weights.n_cols / kBlock,
                      x.rows + t,
                      out.data + static_cast<size_t>(t) * out.stride + row,
                      out.stride};
        some_tokens<kTokens>(job, x.n_tokens - t);
      }
    }
  }

 private:
  struct Job {
    const RowTile& tile;
    size_t next_tile;  // bytes
    int32_t n_blocks;
    const void* const* x;
    float* out;
    size_t out_stride;
  };
  // Of every row of the tile, for each token.
  template <int32_t n_tokens>
  struct BlockSums {
    Sums dots[n_tokens][kPanelRows];
    Sums mins[n_tokens][kPanelRows];
  };

  template <int32_t n_tokens>
  static void some_tokens(const Job& job, int32_t left) {
    if constexpr (n_tokens > 1) {
      if (left < n_tokens) return some_tokens<n_tokens - 1>(job, left);
    }
    tokens<n_tokens>(job);
  }

  template <int32_t n_tokens>
  static void tokens(const Job& job) {
    BlockSums<n_tokens> sums = {};
    Floats acc[n_tokens];
    for (Floats& a : acc) a = Floats::zero();
    for (int32_t b = 0; b < job.n_blocks; ++b) {
      const Activation* x[n_tokens];
      for (int32_t t = 0; t < n_tokens; ++t) x[t] = static_cast<const Activation*>(job.x[t]) + b;
      const size_t at = static_cast<size_t>(b) * sizeof(Block);
      for (int32_t r = 0; r < job.tile.n_rows; ++r) {
        const uint8_t* p = job.tile.rows[r] + at;
        for (size_t ahead = 0; ahead < sizeof(Block); ahead += 64) {
          Isa::prefetch(p + job.next_tile + ahead);
        }
        row_sums<n_tokens>(*reinterpret_cast<const Block*>(p), x, r, sums);
      }
      end_block<n_tokens>(job.tile.rows, at, x, sums, acc);
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t].store_partial(job.out + static_cast<size_t>(t) * job.out_stride, job.tile.n_rows);
    }
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void row_sums(const Block& block, const Activation* const* x,
                                              int32_t r, BlockSums<n_tokens>& out) {
    if constexpr (kIsSuperBlock) {
      super_block_sums<n_tokens>(block, x, r, out);
    } else {
      const auto quants = Dot::template quants<0>(RowChunks<Bytes, Block>{block});
      for (int32_t t = 0; t < n_tokens; ++t) {
        out.dots[t][r] = Isa::template dot<Dot::kMaxQuant>(Sums::zero(), quants, x[t]->q);
      }
    }
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void super_block_sums(const Block& block,
                                                      const Activation* const* x, int32_t r,
                                                      BlockSums<n_tokens>& out) {
    const ScaleWords<Words> integers = Dot::unpack_scales(block);
    const RowChunks<Bytes, Block> chunks{block};
    WideSums dots[n_tokens];
    for (WideSums& s : dots) s = WideSums::zero();
    for_each_64([&](auto index) {
      constexpr int i = decltype(index)::value;
      const auto low = Dot::template quants<2 * i>(chunks);
      const auto high = Dot::template quants<2 * i + 1>(chunks);
      for (int32_t t = 0; t < n_tokens; ++t) {
        dots[t] = Isa::template dot_scaled_64<Dot::kMaxQuant, Dot::kScaleGroup, i>(
            dots[t], low, high, x[t]->q + 64 * i, integers.scales);
      }
    });
    for (int32_t t = 0; t < n_tokens; ++t) {
      const Words sums = Words::load(Dot::kScaleGroup == 16 ? x[t]->sums_16 : x[t]->sums_32);
      Sums total = Isa::narrow(dots[t]);
      if constexpr (kOffset != 0) {
        total = Isa::dot_words(total, integers.scales * Words::broadcast(-kOffset), sums);
      }
      out.dots[t][r] = total;
      if constexpr (Dot::kHasMins) {
        out.mins[t][r] = Isa::dot_words(Sums::zero(), integers.mins, sums);
      }
    }
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void end_block(const uint8_t* const* rows, size_t at,
                                               const Activation* const* x,
                                               const BlockSums<n_tokens>& sums, Floats* acc) {
    const Floats scales = Dot::scales(rows, at);
    for (int32_t t = 0; t < n_tokens; ++t) {
      Ints dots = Isa::reduce_rows(sums.dots[t]);
      if constexpr (!kIsSuperBlock && kOffset != 0) {
        dots = dots - Ints::broadcast(kOffset * x[t]->sum);
      }
      acc[t] = fma(scales * Floats::broadcast(x[t]->scale), to_float(dots), acc[t]);
    }
    if constexpr (Dot::kHasMins) {
      const Floats mins = Dot::negative_mins(rows, at);
      for (int32_t t = 0; t < n_tokens; ++t) {
        Ints dots;
        if constexpr (kIsSuperBlock) {
          dots = Isa::reduce_rows(sums.mins[t]);
        } else {
          dots = Ints::broadcast(x[t]->sum);
        }
        acc[t] = fma(mins * Floats::broadcast(x[t]->scale), to_float(dots), acc[t]);
      }
    }
  }
};

}  // namespace larder::quant
