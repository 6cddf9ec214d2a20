// What attention does with one block of keys and values: scores, the softmax so far, values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/block.h"
#include "quant/isa/activations.h"
#include "quant/isa/float_dot.h"
#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

constexpr int kKeyBlock = kAttentionBlock;

// Some rows of a cache, in the block's own order; strides as in CacheView.
struct BlockRows {
  const void* data;  // of place 0
  size_t stride;
};

// The visible part of one block: places [begin, end) relative to its first position.
struct KeyBlock {
  BlockRows keys, values;
  int begin, end;
};

// Running maximum and sum of one query's softmax.
struct SoftmaxState {
  float most, sum;
};

// Turns scores of the places [begin, end) into weights exp(score - most) and everything else into
// 0; correction[kLanes] is what earlier weights must be multiplied with. Step by step for all
// queries: one behind the other, each would wait for its own maximum and sums.
template <class Isa, int n_queries>
[[gnu::always_inline]] inline void update_softmax(float (*scores)[kKeyBlock], int begin, int end,
                                                  SoftmaxState* const* states, float* correction) {
  using Floats = typename Isa::Floats;
  constexpr float kLowest = -__builtin_inff();
  static_assert(n_queries <= kLanes);
  alignas(64) float before[kLanes] = {}, now[kLanes] = {};
  bool has_weight[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    for (int i = 0; i < begin; ++i) scores[q][i] = kLowest;
    for (int i = end; i < kKeyBlock; ++i) scores[q][i] = kLowest;
    Floats top = load_lanes<Isa>(scores[q]);
    for (int i = kLanes; i < kKeyBlock; i += kLanes) top = max(top, load_lanes<Isa>(scores[q] + i));
    const float highest = reduce_max(top);
    const float most = highest > states[q]->most ? highest : states[q]->most;
    // Where nothing visible has weight yet: -inf - -inf would be NaN.
    has_weight[q] = most != kLowest;
    if (!has_weight[q]) continue;
    before[q] = states[q]->most;
    now[q] = most;
  }
  // Without weight exp(0), which is 1.
  exp_lanes<Isa>(Floats::load(before) - Floats::load(now)).store(correction);
  for (int q = 0; q < n_queries; ++q) {
    if (!has_weight[q]) {
      for (int i = 0; i < kKeyBlock; i += kLanes) Floats::zero().store(scores[q] + i);
      continue;
    }
    const Floats shift = Floats::broadcast(now[q]);
    Floats sum = Floats::zero();
    for (int i = 0; i < kKeyBlock; i += kLanes) {
      const Floats weight = exp_lanes<Isa>(load_lanes<Isa>(scores[q] + i) - shift);
      weight.store(scores[q] + i);
      sum = sum + weight;
    }
    *states[q] = {now[q], Isa::fma(states[q]->sum, correction[q], reduce_add(sum))};
  }
}

// What these functions do beside their work, step by step: NoStep, or what asks for memory.
//
// scores[q][place] = query . key for the visible places.
template <class Step>
using ScoreFunction = void (*)(const float* const* queries, const KeyBlock& block, int32_t d_key,
                               float (*scores)[kKeyBlock], Step& step) noexcept;

template <class Isa, int n_queries, class Element, class Step>
void score_block(const float* const* queries, const KeyBlock& block, int32_t d_key,
                 float (*scores)[kKeyBlock], Step& step) noexcept {
  const auto* const keys = static_cast<const Element*>(block.keys.data);
  dot_rows<Isa, n_queries>(queries, keys + static_cast<size_t>(block.begin) * block.keys.stride,
                           block.keys.stride, block.end - block.begin, d_key,
                           scores[0] + block.begin, kKeyBlock, step);
}

// out[q][d] = out[q][d] * correction[q] + sum over places of weights[q][place] * value[place][d].
template <class Step>
using AddFunction = void (*)(const KeyBlock& block, int32_t d_value,
                             const float (*weights)[kKeyBlock], const float* correction,
                             float* const* out, Step& step) noexcept;

// The same for n_vectors * 16 values (or `left` of them) from d on.
template <class Isa, int n_queries, int n_vectors, class Element, class Step>
[[gnu::always_inline]] inline void add_values_tile(const KeyBlock& block, int64_t d, int64_t left,
                                                   const float (*weights)[kKeyBlock],
                                                   const float* correction, float* const* out,
                                                   Step& step) {
  using Floats = typename Isa::Floats;
  const bool whole = left >= n_vectors * kLanes;
  Floats sums[n_queries][n_vectors];
  for (int q = 0; q < n_queries; ++q) {
    for (int v = 0; v < n_vectors; ++v) {
      const float* const p = out[q] + d + v * kLanes;
      sums[q][v] = (whole ? load_lanes<Isa>(p) : load_lanes<Isa>(p, left)) *
                   Floats::broadcast(correction[q]);
    }
  }
  const auto* value = static_cast<const Element*>(block.values.data) +
                      static_cast<size_t>(block.begin) * block.values.stride;
  for (int i = block.begin; i < block.end; ++i, value += block.values.stride) {
    step();
    Floats row[n_vectors];
    for (int v = 0; v < n_vectors; ++v) {
      row[v] = whole ? load_lanes_at<Isa>(value, d + v * kLanes)
                     : load_lanes_at<Isa>(value, d + v * kLanes, left);
    }
    for (int q = 0; q < n_queries; ++q) {
      const Floats weight = Floats::broadcast(weights[q][i]);
      for (int v = 0; v < n_vectors; ++v) sums[q][v] = fma(weight, row[v], sums[q][v]);
    }
  }
  for (int q = 0; q < n_queries; ++q) {
    for (int v = 0; v < n_vectors; ++v) {
      float* const p = out[q] + d + v * kLanes;
      if (whole) {
        sums[q][v].store(p);
      } else {
        sums[q][v].store_partial(p, left);
      }
    }
  }
}

template <class Isa, int n_queries, class Element, class Step>
void add_values(const KeyBlock& block, int32_t d_value, const float (*weights)[kKeyBlock],
                const float* correction, float* const* out, Step& step) noexcept {
  int64_t d = 0;
  constexpr int kWide = Isa::kTileSide;
  for (; d + kWide * kLanes <= d_value; d += kWide * kLanes) {
    add_values_tile<Isa, n_queries, kWide, Element>(block, d, kWide * kLanes, weights, correction,
                                                    out, step);
  }
  for (; d < d_value; d += kLanes) {
    add_values_tile<Isa, n_queries, 1, Element>(block, d, d_value - d, weights, correction, out,
                                                step);
  }
}

// How n_queries meet a block.
template <int n_queries, class Step>
struct TileFunctions {
  ScoreFunction<Step> score;
  AddFunction<Step> add;
};

template <class Isa, int n_queries, class Step>
TileFunctions<n_queries, Step> tile_functions(Format keys, Format values) noexcept {
  TileFunctions<n_queries, Step> functions = {score_block<Isa, n_queries, float, Step>,
                                              add_values<Isa, n_queries, float, Step>};
  if (keys == Format::f16) functions.score = score_block<Isa, n_queries, uint16_t, Step>;
  if (keys == Format::q8_0) functions.score = score_block<Isa, n_queries, BlockQ8_0, Step>;
  if (values == Format::f16) functions.add = add_values<Isa, n_queries, uint16_t, Step>;
  if (values == Format::q8_0) functions.add = add_values<Isa, n_queries, BlockQ8_0, Step>;
  return functions;
}

}  // namespace larder::quant
