// Attention of the heads that share one kv head, at some positions: online softmax over blocks of
// keys at fixed absolute positions, so that a query's result depends on its window alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/isa/activations.h"
#include "quant/isa/attention_block.h"
#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

// Queries per pass over the keys; more take further passes. Block b holds the positions kKeyBlock b
// to kKeyBlock (b + 1) - 1: 64 keys of 128 float16 are 16 KiB and stay in L1 while queries pass.
constexpr int kMaxQueries = 128;

// One head at one position.
struct Query {
  const float* q;
  float* out;
  const float* bias;  // by position, or null
  int32_t first, last;
  SoftmaxState softmax;

  // Of the block that begins at `position`.
  [[gnu::always_inline]] int begin(int32_t position) const {
    return first > position ? first - position : 0;
  }
  [[gnu::always_inline]] int end(int32_t position) const {
    const int32_t left = last - position + 1;
    return left < kKeyBlock ? left : kKeyBlock;
  }
};

// How n_queries of them meet a block.
template <int n_queries>
struct TileFunctions {
  ScoreFunction score;
  AddFunction add;
};

template <class Isa>
Query start_query(const AttentionArgs& args, int32_t head) noexcept {
  const auto h = static_cast<size_t>(head);
  Query query;
  query.q = args.q + h * args.q_stride;
  query.out = args.out + h * args.out_stride;
  query.bias = args.bias != nullptr ? args.bias + h * args.bias_stride : nullptr;
  query.first = args.first;
  query.last = args.last;
  // A sink is a key whose score is given and whose value is zero.
  query.softmax = args.sinks != nullptr ? SoftmaxState{args.sinks[h], 1.0f}
                                        : SoftmaxState{-__builtin_inff(), 0.0f};
  for (int32_t d = 0; d < args.d_value; ++d) query.out[d] = 0.0f;
  return query;
}

// Divides by the sum; where no key had weight the result stays 0.
template <class Isa>
void finish_query(const Query& query, int32_t d_value) noexcept {
  if (query.softmax.sum == 0.0f) return;
  const auto sum = Isa::Floats::broadcast(query.softmax.sum);
  map_lanes<Isa>(
      d_value, query.out, [=](auto a) { return a / sum; }, query.out);
}

// REQUIRES: all of them see the same part of the block, which begins at `position`.
template <class Isa, int n_queries>
void attend_tile(const AttentionArgs& args, const TileFunctions<n_queries>& functions,
                 const KeyBlock& block, int32_t position, Query* tile) noexcept {
  const float* queries[n_queries];
  float* out[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    queries[q] = tile[q].q;
    out[q] = tile[q].out;
  }
  alignas(64) float scores[n_queries][kKeyBlock];
  functions.score(queries, block, args.d_key, scores);
  SoftmaxState* states[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    for (int i = block.begin; i < block.end; ++i) scores[q][i] *= args.scale;
    if (tile[q].bias != nullptr) {
      const float* const bias = tile[q].bias + position;
      for (int i = block.begin; i < block.end; ++i) scores[q][i] += bias[i];
    }
    states[q] = &tile[q].softmax;
  }
  alignas(64) float correction[kLanes];
  update_softmax<Isa, n_queries>(scores, block.begin, block.end, states, correction);
  functions.add(block, args.d_value, scores, correction, out);
}

template <class Isa>
bool see_the_same(const Query* queries, int n, int32_t position) noexcept {
  for (int q = 1; q < n; ++q) {
    if (queries[q].begin(position) != queries[0].begin(position) ||
        queries[q].end(position) != queries[0].end(position))
      return false;
  }
  return true;
}

template <class Isa>
BlockRows rows_at(const CacheView& cache, int32_t position) noexcept {
  const int32_t place = cache.n_places > 0 ? position % cache.n_places : position;
  const size_t element = cache.format == Format::q8_0  ? sizeof(BlockQ8_0)
                         : cache.format == Format::f16 ? sizeof(uint16_t)
                                                       : sizeof(float);
  return {
      static_cast<const uint8_t*>(cache.data) + static_cast<size_t>(place) * cache.stride * element,
      cache.stride};
}

template <class Isa>
void attend_queries(const AttentionArgs& args, Query* queries, int n) noexcept {
  constexpr int kGroup = Isa::kTileSide;
  const TileFunctions<kGroup> group = {score_function<Isa, kGroup>(args.keys.format),
                                       add_function<Isa, kGroup>(args.values.format)};
  const TileFunctions<1> one = {score_function<Isa, 1>(args.keys.format),
                                add_function<Isa, 1>(args.values.format)};
  int32_t first = queries[0].first, last = queries[0].last;
  for (int q = 1; q < n; ++q) {
    if (queries[q].first < first) first = queries[q].first;
    if (queries[q].last > last) last = queries[q].last;
  }
  for (int32_t position = first - first % kKeyBlock; position <= last; position += kKeyBlock) {
    KeyBlock block{rows_at<Isa>(args.keys, position), rows_at<Isa>(args.values, position), 0, 0};
    for (int q = 0; q < n;) {
      block.begin = queries[q].begin(position);
      block.end = queries[q].end(position);
      if (block.begin >= block.end) {
        ++q;
      } else if (q + kGroup <= n && see_the_same<Isa>(queries + q, kGroup, position)) {
        attend_tile<Isa, kGroup>(args, group, block, position, queries + q);
        q += kGroup;
      } else {
        attend_tile<Isa, 1>(args, one, block, position, queries + q);
        ++q;
      }
    }
  }
  for (int q = 0; q < n; ++q) finish_query<Isa>(queries[q], args.d_value);
}

template <class Isa>
void attend(const AttentionArgs* rows, int32_t n_rows) noexcept {
  Query queries[kMaxQueries];
  int n = 0;
  for (int32_t r = 0; r < n_rows; ++r) {
    for (int32_t head = 0; head < rows[r].n_queries; ++head) {
      queries[n++] = start_query<Isa>(rows[r], head);
      if (n < kMaxQueries) continue;
      attend_queries<Isa>(rows[0], queries, n);
      n = 0;
    }
  }
  if (n > 0) attend_queries<Isa>(rows[0], queries, n);
}

}  // namespace larder::quant
