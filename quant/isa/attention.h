// Attention of the heads that share one kv head, at some positions: online softmax over blocks of
// keys at fixed absolute positions, so that a query's result depends on its window alone.
#pragma once

#include <cstdint>

#include "quant/isa/attention_query.h"
#include "quant/isa/attention_row.h"

namespace larder::quant {

// Queries per pass over the keys; more take further passes. Block b holds the positions kKeyBlock b
// to kKeyBlock (b + 1) - 1: 64 keys of 128 float16 are 16 KiB and stay in L1 while queries pass.
constexpr int kMaxQueries = 128;

// REQUIRES: all of them see the same part of the block, which begins at `position`.
template <class Isa, int n_queries>
void attend_tile(const AttentionArgs& args, const TileFunctions<n_queries, const NoStep>& functions,
                 const KeyBlock& block, int32_t position, Query* tile) noexcept {
  const float* queries[n_queries];
  float* out[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    queries[q] = tile[q].q;
    out[q] = tile[q].out;
  }
  alignas(64) float scores[n_queries][kKeyBlock];
  functions.score(queries, block, args.d_key, scores, kNoStep);
  alignas(64) float correction[kLanes];
  finish_scores<Isa, n_queries>(tile, args.scale, position, block, scores, correction);
  functions.add(block, args.d_value, scores, correction, out, kNoStep);
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
void attend_queries(const AttentionArgs& args, Query* queries, int n) noexcept {
  constexpr int kGroup = Isa::kTileSide;
  const auto group =
      tile_functions<Isa, kGroup, const NoStep>(args.keys.format, args.values.format);
  const auto one = tile_functions<Isa, 1, const NoStep>(args.keys.format, args.values.format);
  int32_t first = queries[0].first, last = queries[0].last;
  for (int q = 1; q < n; ++q) {
    if (queries[q].first < first) first = queries[q].first;
    if (queries[q].last > last) last = queries[q].last;
  }
  for (int32_t position = first - first % kKeyBlock; position <= last; position += kKeyBlock) {
    KeyBlock block{rows_at(args.keys, position), rows_at(args.values, position), 0, 0};
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
void attend_alone(const AttentionArgs& args) noexcept {
  constexpr int kMost = RowAttention<Isa>::kMostQueries;
  Query queries[kMost];
  for (int32_t head = 0; head < args.n_queries; head += kMost) {
    const int n = args.n_queries - head < kMost ? args.n_queries - head : kMost;
    for (int i = 0; i < n; ++i) queries[i] = start_query<Isa>(args, head + i);
    RowAttention<Isa>::run(args, queries, n);
    for (int i = 0; i < n; ++i) finish_query<Isa>(queries[i], args.d_value);
  }
}

template <class Isa>
void attend(const AttentionArgs* rows, int32_t n_rows) noexcept {
  if (n_rows == 1) return attend_alone<Isa>(rows[0]);
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
