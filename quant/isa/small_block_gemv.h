// Matrix times few vectors, from blocks of 32: 16 rows at a time, two blocks of each at once, so
// that an instruction set of 64 bytes has enough to do, or, where they are nothing but nibbles, one
// block of all 16 rows transposed, so that each row's sum grows in a lane of its own. Row after
// row, as gemv.h has it, the lanes of so many sums would come and go through memory that the stream
// of weights is slower for it. Streams the weights once for every kTokens tokens; while it works on
// a tile of rows it prefetches one behind it, in the order of the file.
#pragma once

#include "quant/isa/read_ahead.h"

namespace larder::quant {

template <class Isa, class Dot>
class SmallBlockGemv {
 public:
  static void run(const WeightRows& weights, const ActivationRows& x,
                  const OutputRows& out) noexcept {
    const size_t tile_bytes = weights.row_bytes * kPanelRows;
    const size_t ahead_bytes = (kTilesAheadBytes + tile_bytes - 1) / tile_bytes * tile_bytes;
    for (int32_t row = 0; row < weights.n_rows; row += kPanelRows) {
      const RowTile tile = row_tile<Isa>(weights, row);
      for (int32_t t = 0; t < x.n_tokens; t += kTokens) {
        float* const to = out.data + static_cast<size_t>(t) * out.stride + row;
        const Job job{tile,      tile.rows[0] + ahead_bytes, weights.n_cols / 32, x.rows + t, to,
                      out.stride};
        with_count<kTokens>(x.n_tokens - t,
                            [&](auto count) { tokens<decltype(count)::value>(job); });
      }
    }
  }

 private:
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  using PairSums = typename Isa::PairSums;
  using Block = typename Dot::Block;
  using Activation = typename Dot::Activation;
  static constexpr int kOffset = Isa::template offset_left<Dot::kMaxQuant>(Dot::kOffset);
  static constexpr int32_t kTokens = Isa::kRowTokens;
  static constexpr bool kHasOnlyNibbles =
      (requires { Dot::kNibbles; }) && !(requires { Dot::kFifthBits; });
  static constexpr bool kTransposes =
      Isa::template transposes_rows<Dot::kMaxQuant>() && kHasOnlyNibbles;
  // At least; whole tiles, because those that are multiplied are read across their rows. Measured
  // on Zen 5, one thread, 768 and 2,048 columns, as shares of reading alone: Q4_0, transposed, .57
  // and .80 with one tile (7 and 18 KB), .88 and .87 with this; Q8_0 .94 and .92, .82 and .92 with
  // 32 KB.
  static constexpr size_t kTilesAheadBytes = (kTransposes ? 20 : 12) << 10;

  struct Job {
    const RowTile& tile;
    const uint8_t* tile_ahead;
    int32_t n_blocks;
    const void* const* x;
    float* out;
    size_t out_stride;
  };

  template <int32_t n_tokens>
  static void tokens(const Job& job) {
    Floats acc[n_tokens];
    for (Floats& a : acc) a = Floats::zero();
    if constexpr (kTransposes) {
      for (int32_t b = 0; b < job.n_blocks; ++b) add_transposed<n_tokens>(job, b, acc);
    } else {
      PairSums sums[n_tokens][kPanelRows] = {};
      int32_t b = 0;
      for (; b + 2 <= job.n_blocks; b += 2) add_blocks<n_tokens, 1>(job, b, sums, acc);
      if (b < job.n_blocks) add_blocks<n_tokens, 0>(job, b, sums, acc);
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t].store_partial(job.out + static_cast<size_t>(t) * job.out_stride, job.tile.n_rows);
    }
  }

  // Blocks b and b + second; `sums` is the place for their sums.
  template <int32_t n_tokens, int second>
  [[gnu::always_inline]] static void add_blocks(const Job& job, int32_t b,
                                                PairSums (*sums)[kPanelRows], Floats* acc) {
    const Activation *x[n_tokens], *y[n_tokens];
    for (int32_t t = 0; t < n_tokens; ++t) {
      x[t] = static_cast<const Activation*>(job.x[t]) + b;
      y[t] = x[t] + second;
    }
    const size_t at = static_cast<size_t>(b) * sizeof(Block);
    const uint8_t* const ahead = job.tile_ahead + at * kPanelRows;
    for (int32_t r = 0; r < job.tile.n_rows; ++r) {
      const uint8_t* const block = job.tile.rows[r] + at;
      constexpr size_t kBytes = (1 + second) * sizeof(Block);
      prefetch<Isa>(ahead + static_cast<size_t>(r) * kBytes, kBytes);
      const auto quants = unpack_pair<Isa, Dot>(block, block + second * sizeof(Block));
      for (int32_t t = 0; t < n_tokens; ++t) {
        sums[t][r] = Isa::template dot_pair<Dot::kMaxQuant>(quants, x[t]->q, y[t]->q);
      }
    }
    Ints dots[2][n_tokens];
    for (int32_t t = 0; t < n_tokens; ++t) {
      const auto both = Isa::reduce_pairs(sums[t]);
      dots[0][t] = both.first;
      dots[1][t] = both.second;
    }
    end_block<n_tokens>(job.tile.rows, at, x, dots[0], acc);
    if constexpr (second != 0) {
      end_block<n_tokens>(job.tile.rows, at + sizeof(Block), y, dots[1], acc);
    }
  }

  // Block b of all rows. Vector i of the transposed holds quants 4 i to 4 i + 3 in its low nibbles
  // and 16 + 4 i to 16 + 4 i + 3 in its high ones.
  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_transposed(const Job& job, int32_t b, Floats* acc) {
    const size_t at = static_cast<size_t>(b) * sizeof(Block);
    prefetch<Isa>(job.tile_ahead + at * kPanelRows, kPanelRows * sizeof(Block));
    const Activation* x[n_tokens];
    Ints dots[n_tokens];
    for (int32_t t = 0; t < n_tokens; ++t) {
      x[t] = static_cast<const Activation*>(job.x[t]) + b;
      dots[t] = Ints::zero();
    }
    static_assert(Isa::template steps_exact<Dot::kMaxQuant>() >= 4);
    Ints nibbles[4];
    Isa::load_columns(job.tile.rows, at + Dot::kNibbles, nibbles);
    const auto quants_of = [](Ints places) __attribute__((always_inline)) {
      places = places & Ints::broadcast(0x0f0f0f0f);
      if constexpr (requires { Dot::kTable; }) return Isa::look_up_bytes(Dot::kTable, places);
      return places;
    };
    constexpr int kSteps = Isa::template steps_exact<Dot::kMaxQuant>() < 8 ? 4 : 8;
    Ints partial[n_tokens];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Ints low = quants_of(nibbles[i]), high = quants_of(shift_right<4>(nibbles[i]));
      for (int32_t t = 0; t < n_tokens; ++t) {
        if (2 * i % kSteps == 0) partial[t] = Ints::zero();
        partial[t] = Isa::template step<Dot::kMaxQuant>(partial[t], low, x[t]->q + 4 * i);
        partial[t] = Isa::template step<Dot::kMaxQuant>(partial[t], high, x[t]->q + 16 + 4 * i);
        if ((2 * i + 2) % kSteps == 0) dots[t] = Isa::add_partial(dots[t], partial[t]);
      }
    }
    end_block<n_tokens>(job.tile.rows, at, x, dots, acc);
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void end_block(const uint8_t* const* rows, size_t at,
                                               const Activation* const* x, const Ints* dots,
                                               Floats* acc) {
    const Floats scales = gather_scales<Isa, Dot>(rows, at);
    for (int32_t t = 0; t < n_tokens; ++t) {
      Ints exact = dots[t];
      if constexpr (kOffset != 0) exact = exact - Ints::broadcast(kOffset * x[t]->sum);
      acc[t] = fma(scales * Floats::broadcast(x[t]->scale), to_float(exact), acc[t]);
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
