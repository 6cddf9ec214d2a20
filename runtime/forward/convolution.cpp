#include "runtime/forward/convolution.h"

#include <cstring>

namespace larder::runtime {
namespace {

// The input at `place` of a sequence's rows in this call; places before the first are carried.
const float* input_at(const LayerStep& layer, const ConvolutionInput& input, int32_t sequence,
                      int32_t place) noexcept {
  const Pass& pass = layer.pass;
  if (place >= 0)
    return input.data + pass.rows_of(sequence)[static_cast<size_t>(place)] * input.stride;
  const CarriedState carried =
      pass.sequences[static_cast<size_t>(sequence)]->carried().present(layer.index);
  return carried.window + int64_t{layer.config.n_taps - 1 + place} * layer.config.n_channels;
}

}  // namespace

void convolve_row(const LayerStep& layer, const ConvolutionInput& input, int64_t row,
                  float* out) noexcept {
  const Pass& pass = layer.pass;
  const int32_t n_taps = layer.config.n_taps;
  const int32_t sequence = pass.rows[static_cast<size_t>(row)].sequence;
  const int32_t place = pass.position_of(row) - pass.sequence_of(row).n_positions();
  const float* inputs[kMaxTaps];
  for (int32_t j = 0; j < n_taps; ++j)
    inputs[j] = input_at(layer, input, sequence, place - (n_taps - 1) + j);
  pass.vector().convolve(inputs, layer.weights.conv_taps, n_taps, layer.config.n_channels, out);
}

void carry_window(const LayerStep& layer, const ConvolutionInput& input,
                  int32_t sequence) noexcept {
  const Pass& pass = layer.pass;
  const auto n_rows = static_cast<int32_t>(pass.rows_of(sequence).size());
  if (n_rows == 0) return;
  const int32_t n_kept = layer.config.n_taps - 1, n_channels = layer.config.n_channels;
  const CarriedState next =
      pass.sequences[static_cast<size_t>(sequence)]->carried().next(layer.index);
  for (int32_t j = 0; j < n_kept; ++j)
    std::memcpy(next.window + int64_t{j} * n_channels,
                input_at(layer, input, sequence, n_rows - n_kept + j),
                sizeof(float) * static_cast<size_t>(n_channels));
}

}  // namespace larder::runtime
