// Matrix times few vectors, from super-blocks: 16 rows at a time, in the order of the file, so
// that memory is read as one stream. Each row's exact sums of a block stay spread over lanes until
// those of 16 rows are added up together. Streams the weights once for every kTokens tokens.
#pragma once

#include "quant/isa/read_ahead.h"

namespace larder::quant {

template <class Isa, class Dot>
struct Gemv {
  using Floats = typename Isa::Floats;
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
    Walk ahead(weights, n_blocks);
    ahead.skip(kReadAheadBytes);
    for (int32_t row = 0; row < weights.n_rows; row += kPanelRows) {
      const RowTile tile = row_tile<Isa>(weights, row);
      const Walk at_tile = ahead;
      for (int32_t t = 0; t < x.n_tokens; t += kTokens) {
        ahead = at_tile;
        float* const to = out.data + static_cast<size_t>(t) * out.stride + row;
        const Job job{tile, n_blocks, x.rows + t, to, out.stride, ahead};
        with_count<kTokens>(x.n_tokens - t,
                            [&](auto count) { tokens<decltype(count)::value>(job); });
      }
    }
  }

 private:
  // A kilobyte or two, whose sums stay in L1.
  static constexpr int32_t kRunBlocks = 8;
  using Walk = RunWalk<Block, kRunBlocks>;

  struct Job {
    const RowTile& tile;
    int32_t n_blocks;
    const void* const* x;
    float* out;
    size_t out_stride;
    Walk& ahead;
  };
  // Of a block of every row of the tile, for each token.
  template <int32_t n_tokens>
  struct BlockSums {
    Sums dots[n_tokens][kPanelRows];
    Sums mins[n_tokens][Dot::kHasMins ? kPanelRows : 1];
    uint16_t scale[kPanelRows];  // float16
    uint16_t min[Dot::kHasMins ? kPanelRows : 1];
  };

  template <int32_t n_tokens>
  static void tokens(const Job& job) {
    Floats acc[n_tokens];
    for (Floats& a : acc) a = Floats::zero();
    for (int32_t first = 0; first < job.n_blocks; first += kRunBlocks) {
      const int32_t left = job.n_blocks - first;
      add_runs<n_tokens>(job, first, left < kRunBlocks ? left : kRunBlocks, acc);
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t].store_partial(job.out + static_cast<size_t>(t) * job.out_stride, job.tile.n_rows);
    }
  }

  // Blocks [first, first + n_blocks) of the tile's rows.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_runs(const Job& job, int32_t first, int32_t n_blocks,
                                              Floats* acc) {
    BlockSums<n_tokens> sums[kRunBlocks];
    if (job.tile.n_rows < kPanelRows) __builtin_memset(static_cast<void*>(sums), 0, sizeof sums);
    const Activation* x[n_tokens];
    for (int32_t t = 0; t < n_tokens; ++t) x[t] = static_cast<const Activation*>(job.x[t]) + first;
    for (int32_t r = 0; r < job.tile.n_rows; ++r) {
      const uint8_t* block = job.tile.rows[r] + static_cast<size_t>(first) * sizeof(Block);
      const uint8_t* ahead = job.ahead.run();
      Isa::prefetch(ahead + kWalkAheadBytes);
      job.ahead.next();
      for (int32_t b = 0; b < n_blocks; ++b) {
        prefetch<Isa>(ahead, sizeof(Block));
        row_sums<n_tokens>(block, x, b, r, sums[b]);
        block += sizeof(Block);
        ahead += sizeof(Block);
      }
    }
    for (int32_t b = 0; b < n_blocks; ++b) end_block<n_tokens>(x, b, sums[b], acc);
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void row_sums(const uint8_t* block, const Activation* const* x,
                                              int32_t b, int32_t r, BlockSums<n_tokens>& out) {
    const ScaleWords<Words> integers = Dot::unpack_scales(*reinterpret_cast<const Block*>(block));
    WideSums dots[n_tokens];
    for (WideSums& s : dots) s = WideSums::zero();
    for_each_64([&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      const auto quants = unpack_64<Isa, Dot, i>(block);
      for (int32_t t = 0; t < n_tokens; ++t) {
        dots[t] = Isa::template dot_scaled_64<Dot::kMaxQuant, Dot::kScaleGroup, i>(
            dots[t], quants, x[t][b].q + 64 * i, integers.scales);
      }
    });
    for (int32_t t = 0; t < n_tokens; ++t) {
      const Words sums = Words::load(Dot::kScaleGroup == 16 ? x[t][b].sums_16 : x[t][b].sums_32);
      Sums total = Isa::narrow(dots[t]);
      if constexpr (kOffset != 0) {
        total = Isa::dot_words(total, integers.scales * Words::broadcast(-kOffset), sums);
      }
      out.dots[t][r] = total;
      if constexpr (Dot::kHasMins) {
        out.mins[t][r] = Isa::dot_words(Sums::zero(), integers.mins, sums);
      }
    }
    __builtin_memcpy(&out.scale[r], block + Dot::kScale, 2);
    if constexpr (Dot::kHasMins) __builtin_memcpy(&out.min[r], block + Dot::kMin, 2);
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void end_block(const Activation* const* x, int32_t b,
                                               const BlockSums<n_tokens>& sums, Floats* acc) {
    const Floats scales = Floats::from_f16(sums.scale);
    for (int32_t t = 0; t < n_tokens; ++t) {
      const Floats scale = Floats::broadcast(x[t][b].scale);
      acc[t] = fma(scales * scale, to_float(Isa::reduce_rows(sums.dots[t])), acc[t]);
      if constexpr (Dot::kHasMins) {
        acc[t] = fma(-Floats::from_f16(sums.min) * scale, to_float(Isa::reduce_rows(sums.mins[t])),
                     acc[t]);
      }
    }
  }
};

}  // namespace larder::quant
