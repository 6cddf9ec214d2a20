// Matrix times few vectors, from the native blocks: of 16 rows at a time, one (super-)block after
// the other is transposed and multiplied at once. Streams the weights once for every kRowTokens
// tokens; while it works on a tile of rows it prefetches the next, in the order of the file.
#pragma once

#include "quant/isa/panel.h"
#include "quant/isa/tile.h"

namespace larder::quant {

template <class Isa, class Dot>
struct Gemv {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
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
      for (int32_t t = 0; t < x.n_tokens; t += kTokens) {
        const Job job{tile,
                      tile.rows[0] + weights.row_bytes * kPanelRows,
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
  [[gnu::noinline]] static void tokens(const Job& job) {
    Floats acc[n_tokens];
    for (Floats& a : acc) a = Floats::zero();
    for (int32_t b = 0; b < job.n_blocks; ++b) {
      const Activation* x[n_tokens];
      for (int32_t t = 0; t < n_tokens; ++t) x[t] = static_cast<const Activation*>(job.x[t]) + b;
      const size_t at = static_cast<size_t>(b) * sizeof(Block);
      prefetch(job.next_tile + at * kPanelRows);
      TileQuants<Isa, Dot> quants;
      quants.load(job.tile.rows, at);
      if constexpr (kIsSuperBlock) {
        add_super_block<n_tokens>(job.tile.rows, at, quants, x, acc);
      } else {
        add_small_block<n_tokens>(job.tile.rows, at, quants, x, acc);
      }
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t].store_partial(job.out + static_cast<size_t>(t) * job.out_stride, job.tile.n_rows);
    }
  }

  // As many bytes as 16 rows have in a block.
  [[gnu::always_inline]] static void prefetch(const uint8_t* p) {
#pragma GCC unroll 64
    for (size_t line = 0; line < sizeof(Block) * kPanelRows; line += 64) Isa::prefetch(p + line);
  }

  // The partial sums of n_steps vectors of the i-th 32, from vector `first` on.
  template <int32_t n_tokens, int i, int first, int n_steps>
  [[gnu::always_inline]] static void multiply(const TileQuants<Isa, Dot>& quants,
                                              const Activation* const* x, Ints* partial) {
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tokens; ++t) partial[t] = Ints::zero();
    for_each_index<n_steps>([&](auto step) __attribute__((always_inline)) {
      constexpr int k = first + decltype(step)::value;
      const Ints vector = quants.template vector<i, k>();
#pragma GCC unroll 4
      for (int32_t t = 0; t < n_tokens; ++t) {
        partial[t] =
            Isa::template step<Dot::kMaxQuant>(partial[t], vector, x[t]->q + 32 * i + 4 * k);
      }
    });
  }
  // Vectors that may be added up before their sums must be widened or scaled.
  static constexpr int run_length(int group) {
    const int exact = Isa::template steps_exact<Dot::kMaxQuant>();
    return exact >= group ? group : exact >= 4 ? 4 : exact >= 2 ? 2 : 1;
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_small_block(const uint8_t* const* rows, size_t at,
                                                     const TileQuants<Isa, Dot>& quants,
                                                     const Activation* const* x, Floats* acc) {
    constexpr int kRun = run_length(8);
    Ints sums[n_tokens], partial[n_tokens];
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tokens; ++t) sums[t] = Ints::broadcast(-kOffset * x[t]->sum);
    for_each_index<8 / kRun>([&](auto index) __attribute__((always_inline)) {
      multiply<n_tokens, 0, kRun* decltype(index)::value, kRun>(quants, x, partial);
#pragma GCC unroll 4
      for (int32_t t = 0; t < n_tokens; ++t) sums[t] = Isa::add_partial(sums[t], partial[t]);
    });
    const Floats d = Dot::scales(rows, at);
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tokens; ++t) {
      acc[t] = fma(d * Floats::broadcast(x[t]->scale), to_float(sums[t]), acc[t]);
    }
    if constexpr (Dot::kHasMins) {
      const Floats mins = Dot::negative_mins(rows, at);
#pragma GCC unroll 4
      for (int32_t t = 0; t < n_tokens; ++t) {
        acc[t] = fma(mins * Floats::broadcast(x[t]->scale), to_float(Ints::broadcast(x[t]->sum)),
                     acc[t]);
      }
    }
  }

  // Sums of minimums, or scales, times sums of activations, exact.
  [[gnu::always_inline]] static Ints pair_dots(const TileScales<Isa, Dot>& scales,
                                               const Activation& x) {
    constexpr int kPairs = TileScales<Isa, Dot>::kPairs;
    const int16_t* sums = Dot::kScaleGroup == 16 ? x.sums_16 : x.sums_32;
    Ints dots = Ints::zero();
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      dots = Isa::step_pairs(dots, scales.summed()[i], sums + 2 * i);
    }
    return dots;
  }

  template <int32_t n_tokens>
  [[gnu::always_inline]] static void add_super_block(const uint8_t* const* rows, size_t at,
                                                     const TileQuants<Isa, Dot>& quants,
                                                     const Activation* const* x, Floats* acc) {
    constexpr int kRun = run_length(Dot::kScaleGroup / 4);
    const TileScales<Isa, Dot> scales(rows, at);
    Ints sums[n_tokens], partial[n_tokens];
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tokens; ++t) {
      sums[t] = kOffset == 0 ? Ints::zero() : pair_dots(scales, *x[t]) * Ints::broadcast(-kOffset);
    }
    for_each_32([&](auto group) __attribute__((always_inline)) {
      constexpr int i = decltype(group)::value;
      for_each_index<8 / kRun>([&](auto index) __attribute__((always_inline)) {
        constexpr int first = kRun * decltype(index)::value;
        multiply<n_tokens, i, first, kRun>(quants, x, partial);
        const Ints scale = scales.template scale<(32 * i + 4 * first) / Dot::kScaleGroup>();
#pragma GCC unroll 4
        for (int32_t t = 0; t < n_tokens; ++t) {
          sums[t] = Isa::add_scaled(sums[t], partial[t], scale);
        }
      });
    });
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tokens; ++t) {
      const Floats scale = Floats::broadcast(x[t]->scale);
      acc[t] = fma(scales.d * scale, to_float(sums[t]), acc[t]);
      if constexpr (Dot::kHasMins) {
        acc[t] = fma(scales.negative_min * scale, to_float(pair_dots(scales, *x[t])), acc[t]);
      }
    }
  }
};

}  // namespace larder::quant
