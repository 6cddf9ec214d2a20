// One head at one position, and what it does to a block's scores.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/isa/activations.h"
#include "quant/isa/attention_block.h"
#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

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

inline size_t element_bytes(const CacheView& cache) noexcept {
  if (cache.format == Format::q8_0) return sizeof(BlockQ8_0);
  return cache.format == Format::f16 ? sizeof(uint16_t) : sizeof(float);
}

inline BlockRows rows_at(const CacheView& cache, int32_t position) noexcept {
  const auto place = static_cast<size_t>(cache.n_places > 0 ? position % cache.n_places : position);
  return {static_cast<const uint8_t*>(cache.data) + place * cache.stride * element_bytes(cache),
          cache.stride};
}

// Scores of the block at `position` become weights; correction[kLanes] is what earlier results must
// be multiplied with.
template <class Isa, int n_queries>
[[gnu::always_inline]] inline void finish_scores(Query* queries, float scale, int32_t position,
                                                 const KeyBlock& block, float (*scores)[kKeyBlock],
                                                 float* correction) {
  SoftmaxState* states[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    for (int i = block.begin; i < block.end; ++i) scores[q][i] *= scale;
    if (queries[q].bias != nullptr) {
      const float* const bias = queries[q].bias + position;
      for (int i = block.begin; i < block.end; ++i) scores[q][i] += bias[i];
    }
    states[q] = &queries[q].softmax;
  }
  update_softmax<Isa, n_queries>(scores, block.begin, block.end, states, correction);
}

}  // namespace larder::quant
