// A short convolution over positions, every channel by itself.
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"

namespace larder::quant {

template <class Isa>
void convolve(const float* const* rows, const float* taps, int32_t n_taps, int64_t n,
              float* out) noexcept {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    auto sum = Isa::Floats::zero();
    for (int32_t j = 0; j < n_taps; ++j)
      sum = fma(load_lanes<Isa>(taps + j * n + i), load_lanes<Isa>(rows[j] + i), sum);
    sum.store(out + i);
  }
  if (i == n) return;
  auto sum = Isa::Floats::zero();
  for (int32_t j = 0; j < n_taps; ++j)
    sum = fma(load_lanes<Isa>(taps + j * n + i, n - i), load_lanes<Isa>(rows[j] + i, n - i), sum);
  sum.store_partial(out + i, n - i);
}

}  // namespace larder::quant
