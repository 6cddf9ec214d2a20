#include "runtime/forward/short_convolution.h"

#include "runtime/forward/convolution.h"

namespace larder::runtime {

ActivationForms short_convolution_input_forms(const LayerStep& layer) noexcept {
  return forms_for({layer.weights.conv_input.weight}, layer.pass.matmul.arithmetic);
}

// A projected row is [gate of the input | gate of the output | input].
void mix_short_convolution(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const int32_t n = pass.n_rows(), width = layer.config.n_channels;
  const int64_t row_width = 3 * int64_t{width};

  show_inputs(team, pass, {&layer.weights.conv_input.weight}, space.input.row(0),
              space.input.stride(), n);
  const quant::MatmulJob job[] = {
      multiply(pass, layer.weights.conv_input.weight, space.input, n, space.conv_input)};
  quant::grouped_matmul(team, pass.matmul, job);
  team.for_each(n, [&](int64_t row) {
    float* const projected = space.conv_input + row * row_width;
    pass.vector().multiply(projected + 2 * width, projected, width);
  });

  const ConvolutionInput input = {space.conv_input + 2 * width, row_width};
  team.for_each(int64_t{n} + pass.n_sequences(), [&](int64_t item) {
    if (item >= n) return carry_window(layer, input, static_cast<int32_t>(item - n));
    float* const out = space.mixed.row(item);
    convolve_row(layer, input, item, out);
    pass.vector().multiply(out, space.conv_input + item * row_width + width, width);
  });
}

}  // namespace larder::runtime
