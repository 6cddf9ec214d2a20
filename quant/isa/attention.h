// Attention of the heads that share one kv head, at one position: online softmax over blocks of
// keys at fixed absolute positions, so that the result depends on the window alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/isa/activations.h"
#include "quant/isa/float_dot.h"
#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

// Block b holds the positions kKeyBlock b to kKeyBlock (b + 1) - 1. 64 keys of 128 float16 are
// 16 KiB: the values stay in L1 while each group of queries passes.
constexpr int kKeyBlock = 64;
constexpr int kMaxQueries = 128;  // queries per pass over the keys; more heads take further passes

// The visible part of one block: places [begin, end) relative to its first position.
template <class Element>
struct KeyBlock {
  const Element* keys;    // of place 0
  const Element* values;  // of place 0
  size_t key_stride, value_stride;
  int begin, end;
  int32_t position;  // of place 0
};

// Running maximum and sum of one query's softmax.
struct SoftmaxState {
  float most, sum;
};

// Turns scores of the places [begin, end) into weights exp(score - most) and everything else into
// 0; returns what earlier weights must be multiplied with.
template <class Isa>
[[gnu::always_inline]] inline float update_softmax(float* scores, int begin, int end,
                                                   SoftmaxState& state) {
  using Floats = typename Isa::Floats;
  constexpr float kLowest = -__builtin_inff();
  for (int i = 0; i < begin; ++i) scores[i] = kLowest;
  for (int i = end; i < kKeyBlock; ++i) scores[i] = kLowest;
  Floats top = load_lanes<Isa>(scores);
  for (int i = kLanes; i < kKeyBlock; i += kLanes) top = max(top, load_lanes<Isa>(scores + i));
  const float highest = reduce_max(top);
  const float most = highest > state.most ? highest : state.most;
  if (most == kLowest) {  // nothing visible has weight yet; -inf - -inf would be NaN
    for (int i = 0; i < kKeyBlock; i += kLanes) Floats::zero().store(scores + i);
    return 1.0f;
  }
  const Floats shift = Floats::broadcast(most);
  Floats sum = Floats::zero();
  for (int i = 0; i < kKeyBlock; i += kLanes) {
    const Floats weight = exp_lanes<Isa>(load_lanes<Isa>(scores + i) - shift);
    weight.store(scores + i);
    sum = sum + weight;
  }
  const Floats correction = exp_lanes<Isa>(Floats::broadcast(state.most) - shift);
  float factor[kLanes];
  correction.store(factor);
  state = {most, Isa::fma(state.sum, factor[0], reduce_add(sum))};
  return factor[0];
}

// out[q][d] = out[q][d] * correction[q] + sum over places of weights[q][place] * value[place][d],
// for n_vectors * 16 values (or `left` of them) from d on.
template <class Isa, int n_queries, int n_vectors, class Element>
[[gnu::always_inline]] inline void add_values_tile(const KeyBlock<Element>& block, int64_t d,
                                                   int64_t left, const float (*weights)[kKeyBlock],
                                                   const float* correction, float* const* out) {
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
  const Element* value = block.values + static_cast<size_t>(block.begin) * block.value_stride + d;
  for (int i = block.begin; i < block.end; ++i, value += block.value_stride) {
    Floats row[n_vectors];
    for (int v = 0; v < n_vectors; ++v) {
      row[v] = whole ? load_lanes<Isa>(value + v * kLanes) : load_lanes<Isa>(value, left);
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

template <class Isa, int n_queries, class Element>
void attend_block(const AttentionArgs& args, const KeyBlock<Element>& block, int first_query,
                  SoftmaxState* states) noexcept {
  const float* queries[n_queries];
  float* out[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    const auto head = static_cast<size_t>(first_query + q);
    queries[q] = args.q + head * args.q_stride;
    out[q] = args.out + head * args.out_stride;
  }
  alignas(64) float scores[n_queries][kKeyBlock];
  dot_rows<Isa, n_queries>(
      queries, block.keys + static_cast<size_t>(block.begin) * block.key_stride, block.key_stride,
      block.end - block.begin, args.d_key, scores[0] + block.begin, kKeyBlock);
  float correction[n_queries];
  for (int q = 0; q < n_queries; ++q) {
    for (int i = block.begin; i < block.end; ++i) scores[q][i] *= args.scale;
    if (args.bias != nullptr) {
      const float* const bias =
          args.bias + static_cast<size_t>(first_query + q) * args.bias_stride + block.position;
      for (int i = block.begin; i < block.end; ++i) scores[q][i] += bias[i];
    }
    correction[q] = update_softmax<Isa>(scores[q], block.begin, block.end, states[first_query + q]);
  }
  int64_t d = 0;
  constexpr int kWide = Isa::kTileSide;
  for (; d + kWide * kLanes <= args.d_value; d += kWide * kLanes) {
    add_values_tile<Isa, n_queries, kWide>(block, d, kWide * kLanes, scores, correction, out);
  }
  for (; d < args.d_value; d += kLanes) {
    add_values_tile<Isa, n_queries, 1>(block, d, args.d_value - d, scores, correction, out);
  }
}

template <class Isa>
void start_queries(const AttentionArgs& args, SoftmaxState* states) noexcept {
  for (int q = 0; q < args.n_queries; ++q) {
    // A sink is a key whose score is given and whose value is zero.
    states[q] = args.sinks != nullptr ? SoftmaxState{args.sinks[q], 1.0f}
                                      : SoftmaxState{-__builtin_inff(), 0.0f};
    float* const out = args.out + static_cast<size_t>(q) * args.out_stride;
    for (int d = 0; d < args.d_value; ++d) out[d] = 0.0f;
  }
}

// Divides by the sums; where no key had weight the result stays 0.
template <class Isa>
void finish_queries(const AttentionArgs& args, const SoftmaxState* states) noexcept {
  for (int q = 0; q < args.n_queries; ++q) {
    if (states[q].sum == 0.0f) continue;
    const auto sum = Isa::Floats::broadcast(states[q].sum);
    float* const out = args.out + static_cast<size_t>(q) * args.out_stride;
    map_lanes<Isa>(
        args.d_value, out, [=](auto a) { return a / sum; }, out);
  }
}

// REQUIRES: args.n_queries <= kMaxQueries.
template <class Isa, class Element>
void attend_queries(const AttentionArgs& args) noexcept {
  SoftmaxState states[kMaxQueries];
  start_queries<Isa>(args, states);
  for (int32_t position = args.first - args.first % kKeyBlock; position <= args.last;
       position += kKeyBlock) {
    const auto place = static_cast<size_t>(position);
    const int32_t left = args.last - position + 1;
    const KeyBlock<Element> block{
        static_cast<const Element*>(args.keys.data) + place * args.keys.stride,
        static_cast<const Element*>(args.values.data) + place * args.values.stride,
        args.keys.stride,
        args.values.stride,
        args.first > position ? args.first - position : 0,
        left < kKeyBlock ? left : kKeyBlock,
        position};
    constexpr int kGroup = Isa::kTileSide;
    int q = 0;
    for (; q + kGroup <= args.n_queries; q += kGroup) {
      attend_block<Isa, kGroup>(args, block, q, states);
    }
    for (; q < args.n_queries; ++q) attend_block<Isa, 1>(args, block, q, states);
  }
  finish_queries<Isa>(args, states);
}

// REQUIRES: keys and values have the same element type.
template <class Isa>
void attend(const AttentionArgs& args) noexcept {
  AttentionArgs part = args;
  for (int q = 0; q < args.n_queries; q += kMaxQueries) {
    const auto head = static_cast<size_t>(q);
    part.q = args.q + head * args.q_stride;
    part.out = args.out + head * args.out_stride;
    part.n_queries = args.n_queries - q < kMaxQueries ? args.n_queries - q : kMaxQueries;
    if (args.sinks != nullptr) part.sinks = args.sinks + head;
    if (args.bias != nullptr) part.bias = args.bias + head * args.bias_stride;
    if (args.keys.is_f16) {
      attend_queries<Isa, uint16_t>(part);
    } else {
      attend_queries<Isa, float>(part);
    }
  }
}

}  // namespace larder::quant
