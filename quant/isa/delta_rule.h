// The gated delta rule, token by token. Columns of the state do not know each other: some tiles of
// 16 columns, 8 KiB each at 128 rows, stay in L1 while all tokens pass.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

// A token at n_tiles tiles, of which `state` and `next` point to the first. Sums go over the rows
// of the state in ascending order; several tiles hide the latency of fma.
template <class Isa, int n_tiles>
[[gnu::always_inline]] inline void delta_step(const DeltaRuleArgs& args, int32_t row,
                                              int32_t column, const float* state, float* next) {
  using Floats = typename Isa::Floats;
  const auto at = static_cast<size_t>(row);
  const float* const q = args.q + at * args.stride;
  const float* const k = args.k + at * args.stride;
  const float* const v = args.v + at * args.stride + column;
  float* const out = args.out + at * args.out_stride + column;
  const Floats decay = Floats::broadcast(args.decay[at * args.gate_stride]);
  const Floats rate = Floats::broadcast(args.rate[at * args.gate_stride]);
  const size_t tile_floats = static_cast<size_t>(args.d_key) * kLanes;
  const int32_t left = args.d_value - column;
  const bool is_whole = left >= n_tiles * kLanes;

  Floats sums[n_tiles];
  for (int t = 0; t < n_tiles; ++t) sums[t] = Floats::zero();
  for (int32_t i = 0; i < args.d_key; ++i) {
    const Floats key = Floats::broadcast(k[i]);
    for (int t = 0; t < n_tiles; ++t)
      sums[t] = fma(key, load_lanes<Isa>(state + t * tile_floats + i * kLanes), sums[t]);
  }
  Floats updates[n_tiles];
  for (int t = 0; t < n_tiles; ++t) {
    const Floats value =
        is_whole ? load_lanes<Isa>(v + t * kLanes) : load_lanes<Isa>(v + t * kLanes, left);
    updates[t] = fma(-decay, sums[t], value) * rate;
    sums[t] = Floats::zero();
  }
  for (int32_t i = 0; i < args.d_key; ++i) {
    const Floats key = Floats::broadcast(k[i]), query = Floats::broadcast(q[i]);
    for (int t = 0; t < n_tiles; ++t) {
      const size_t place = t * tile_floats + i * kLanes;
      const Floats entry = fma(key, updates[t], load_lanes<Isa>(state + place) * decay);
      entry.store(next + place);
      sums[t] = fma(query, entry, sums[t]);
    }
  }
  for (int t = 0; t < n_tiles; ++t) {
    if (is_whole)
      sums[t].store(out + t * kLanes);
    else
      sums[t].store_partial(out + t * kLanes, left);
  }
}

template <class Isa, int n_tiles>
void delta_columns(const DeltaRuleArgs& args, int32_t column) noexcept {
  const size_t begin = static_cast<size_t>(column) * static_cast<size_t>(args.d_key);
  float* const next = args.next_state + begin;
  delta_step<Isa, n_tiles>(args, args.rows[0], column, args.state + begin, next);
  for (int32_t i = 1; i < args.n_tokens; ++i)
    delta_step<Isa, n_tiles>(args, args.rows[i], column, next, next);
}

template <class Isa>
void delta_rule(const DeltaRuleArgs& args) noexcept {
  constexpr int kGroup = Isa::kTileSide;
  int32_t column = 0;
  for (; column + kGroup * kLanes <= args.d_value; column += kGroup * kLanes)
    delta_columns<Isa, kGroup>(args, column);
  for (; column < args.d_value; column += kLanes) delta_columns<Isa, 1>(args, column);
}

}  // namespace larder::quant
