// Rotary position embedding of one head: the pair (a, b) becomes (a cos - b sin, a sin + b cos).
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"

namespace larder::quant {

// Pairs are neighbours. Plain floats: the compiler interleaves them better than 16 lanes without a
// shuffle would, and rounds alike, for no operation is fused.
template <class Isa>
void rope_adjacent(float* x, const float* cos, const float* sin, int32_t n_rot) noexcept {
  for (int32_t i = 0; i < n_rot / 2; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = a * sin[i] + b * cos[i];
  }
}

// Pairs are n_rot / 2 apart.
template <class Isa>
void rope_halves(float* x, const float* cos, const float* sin, int32_t n_rot) noexcept {
  const int32_t n_pairs = n_rot / 2;
  float* const y = x + n_pairs;
  int32_t i = 0;
  for (; i + kLanes <= n_pairs; i += kLanes) {
    const auto a = load_lanes<Isa>(x + i), b = load_lanes<Isa>(y + i);
    const auto c = load_lanes<Isa>(cos + i), s = load_lanes<Isa>(sin + i);
    (a * c - b * s).store(x + i);
    (a * s + b * c).store(y + i);
  }
  for (; i < n_pairs; ++i) {
    const float a = x[i], b = y[i];
    x[i] = a * cos[i] - b * sin[i];
    y[i] = a * sin[i] + b * cos[i];
  }
}

}  // namespace larder::quant
