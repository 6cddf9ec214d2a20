// The causal convolution over positions of layers that carry a state: every channel by itself, over
// the last few inputs of its sequence, of which some may be of earlier calls.
#pragma once

#include "runtime/forward/pass.h"

namespace larder::runtime {

// A layer's inputs in a batch: channel c of a row at data[row * stride + c].
struct ConvolutionInput {
  const float* data;
  int64_t stride;
};

// out: [n_channels].
void convolve_row(const LayerStep& layer, const ConvolutionInput& input, int64_t row,
                  float* out) noexcept;
// What the sequence carries on: its last inputs.
void carry_window(const LayerStep& layer, const ConvolutionInput& input, int32_t sequence) noexcept;

}  // namespace larder::runtime
