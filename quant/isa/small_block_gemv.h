// Matrix times few vectors, from blocks of 32: 16 rows at a time, block after block. Row after row,
// as gemv.h has it, the lanes of so many sums would come and go through memory that the stream of
// weights is slower for it. Streams the weights once for every kTokens tokens; while it works on a
// tile of rows it prefetches the next, in the order of the file.
#pragma once

#include "quant/isa/read_ahead.h"

namespace larder::quant {

template <class Isa, class Dot>
class SmallBlockGemv {
 public:
  static void run(const WeightRows& weights, const ActivationRows& x,
                  const OutputRows& out) noexcept {
    for (int32_t row = 0; row < weights.n_rows; row += kPanelRows) {
      const RowTile tile = row_tile<Isa>(weights, row);
      const uint8_t* const next_tile = tile.rows[0] + weights.row_bytes * kPanelRows;
      for (int32_t t = 0; t < x.n_tokens; t += kTokens) {
        float* const to = out.data + static_cast<size_t>(t) * out.stride + row;
        some_tokens<kTokens>({tile, next_tile, weights.n_cols / 32, x.rows + t, to, out.stride},
                             x.n_tokens - t);
      }
    }
  }

 private:
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using Sums = typename Isa::Sums;
  using Block = typename Dot::Block;
  using Activation = typename Dot::Activation;
  static constexpr int kOffset = Isa::template offset_left<Dot::kMaxQuant>(Dot::kOffset);
  static constexpr int32_t kTokens = Isa::kRowTokens;

  struct Job {
    const RowTile& tile;
    const uint8_t* next_tile;
    int32_t n_blocks;
    const void* const* x;
    float* out;
    size_t out_stride;
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
    Sums sums[n_tokens][kPanelRows] = {};
    Floats acc[n_tokens];
    for (Floats& a : acc) a = Floats::zero();
    for (int32_t b = 0; b < job.n_blocks; ++b) {
      const Activation* x[n_tokens];
      for (int32_t t = 0; t < n_tokens; ++t) x[t] = static_cast<const Activation*>(job.x[t]) + b;
      const size_t at = static_cast<size_t>(b) * sizeof(Block);
      const uint8_t* const ahead = job.next_tile + at * kPanelRows;
      for (int32_t r = 0; r < job.tile.n_rows; ++r) {
        const uint8_t* const block = job.tile.rows[r] + at;
        prefetch<Isa>(ahead + static_cast<size_t>(r) * sizeof(Block), sizeof(Block));
        const auto quants = unpack_32<Isa, Dot>(block);
        for (int32_t t = 0; t < n_tokens; ++t) {
          sums[t][r] = Isa::template dot<Dot::kMaxQuant>(Sums::zero(), quants, x[t]->q);
        }
      }
      end_block<n_tokens>(job.tile.rows, at, x, sums, acc);
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t].store_partial(job.out + static_cast<size_t>(t) * job.out_stride, job.tile.n_rows);
    }
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void end_block(const uint8_t* const* rows, size_t at,
                                               const Activation* const* x,
                                               const Sums (*sums)[kPanelRows], Floats* acc) {
    const Floats scales = gather_scales<Isa, Dot>(rows, at);
    for (int32_t t = 0; t < n_tokens; ++t) {
      Ints dots = Isa::reduce_rows(sums[t]);
      if constexpr (kOffset != 0) dots = dots - Ints::broadcast(kOffset * x[t]->sum);
      acc[t] = fma(scales * Floats::broadcast(x[t]->scale), to_float(dots), acc[t]);
    }
    if constexpr (Dot::kHasMins) {
      const Floats mins = gather_negative_mins<Isa, Dot>(rows, at);
      for (int32_t t = 0; t < n_tokens; ++t) {
        acc[t] = fma(mins * Floats::broadcast(x[t]->scale), to_float(Ints::broadcast(x[t]->sum)),
                     acc[t]);
      }
    }
  }
};

}  // namespace larder::quant
