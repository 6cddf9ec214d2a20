// Attention at one position, as decoding asks for it: keys and values come from memory, and nobody
// else reads them. Products with keys and with values take turns, block by block, and while the one
// are computed, what the others read next is asked for. The sums are those of attend_queries().
#pragma once

#include "quant/isa/attention_query.h"

namespace larder::quant {

// Asks for memory in equal shares, one a step.
template <class Isa>
class StepwiseAhead {
 public:
  StepwiseAhead() = default;
  StepwiseAhead(const void* begin, size_t n_bytes, int64_t n_steps)
      : at_(static_cast<const uint8_t*>(begin)),
        due_(at_),
        end_(at_ + n_bytes),
        share_(n_bytes / static_cast<size_t>(n_steps) + 1) {}

  [[gnu::always_inline]] void operator()() {
    due_ += share_;
    for (; at_ < due_ && at_ < end_; at_ += 64) Isa::prefetch(at_);
  }

 private:
  const uint8_t *at_ = nullptr, *due_ = nullptr, *end_ = nullptr;
  size_t share_ = 0;  // bytes
};

// Measured on Zen 5, 8 heads of 128 float16 behind 16,384 positions, one thread: 174 GFlop/s;
// 82 with what the hardware reads ahead by itself, and 199 out of L2.
template <class Isa>
class RowAttention {
 public:
  static constexpr int kMostQueries = 32;

  // REQUIRES: 1 to kMostQueries queries, all at one position.
  static void run(const AttentionArgs& args, Query* queries, int n) noexcept {
    const Format keys = args.keys.format, values = args.values.format;
    const auto group = tile_functions<Isa, kGroup, Ahead>(keys, values);
    const auto one = tile_functions<Isa, 1, Ahead>(keys, values);
    alignas(64) float scores[kMostQueries][kKeyBlock];
    alignas(64) float corrections[kMostQueries][kLanes];  // of a group, at its first query
    const int32_t first = queries[0].first, last = queries[0].last;
    for (int32_t position = first - first % kKeyBlock; position <= last; position += kKeyBlock) {
      const KeyBlock block{rows_at(args.keys, position), rows_at(args.values, position),
                           queries[0].begin(position), queries[0].end(position)};
      Ahead values_ahead;
      if (args.values.data != args.keys.data)  // of latents they are the keys' fronts
        values_ahead = ahead(args.values, position, n_steps(n, args.d_key));
      int q = 0;
      for (; q + kGroup <= n; q += kGroup)
        weigh(args, group, block, position, queries + q, scores + q, corrections[q], values_ahead);
      for (; q < n; ++q)
        weigh(args, one, block, position, queries + q, scores + q, corrections[q], values_ahead);

      Ahead keys_ahead;
      if (position + kKeyBlock <= last)
        keys_ahead = ahead(args.keys, position + kKeyBlock, n_steps(n, args.d_value));
      for (q = 0; q + kGroup <= n; q += kGroup)
        add(args, group, block, queries + q, scores + q, corrections[q], keys_ahead);
      for (; q < n; ++q) add(args, one, block, queries + q, scores + q, corrections[q], keys_ahead);
    }
  }

 private:
  using Ahead = StepwiseAhead<Isa>;
  static constexpr int kGroup = Isa::kTileSide;

  // Of scoring or adding a whole block: a step is 16 numbers of kGroup rows, or as many of one.
  static int64_t n_steps(int n, int32_t width) noexcept {
    const int64_t n_tiles = n / kGroup + n % kGroup;
    return n_tiles * (kKeyBlock / kGroup) * ((width + kLanes - 1) / kLanes);
  }
  static Ahead ahead(const CacheView& cache, int32_t position, int64_t n_steps) noexcept {
    return Ahead(rows_at(cache, position).data, kKeyBlock * cache.stride * element_bytes(cache),
                 n_steps);
  }

  template <int n_queries>
  static void weigh(const AttentionArgs& args, const TileFunctions<n_queries, Ahead>& functions,
                    const KeyBlock& block, int32_t position, Query* queries,
                    float (*scores)[kKeyBlock], float* corrections, Ahead& ahead) noexcept {
    const float* vectors[n_queries];
    for (int q = 0; q < n_queries; ++q) vectors[q] = queries[q].q;
    functions.score(vectors, block, args.d_key, scores, ahead);
    finish_scores<Isa, n_queries>(queries, args.scale, position, block, scores, corrections);
  }

  template <int n_queries>
  static void add(const AttentionArgs& args, const TileFunctions<n_queries, Ahead>& functions,
                  const KeyBlock& block, const Query* queries, const float (*weights)[kKeyBlock],
                  const float* corrections, Ahead& ahead) noexcept {
    float* out[n_queries];
    for (int q = 0; q < n_queries; ++q) out[q] = queries[q].out;
    functions.add(block, args.d_value, weights, corrections, out, ahead);
  }
};

}  // namespace larder::quant
