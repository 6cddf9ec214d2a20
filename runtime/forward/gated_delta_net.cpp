#include "runtime/forward/gated_delta_net.h"

#include <cmath>

#include "runtime/forward/convolution.h"

namespace larder::runtime {
namespace {

constexpr float kUnitEpsilon =
    1e-6f;  // of the norm of keys and queries; the model has no key for it

// ln(1 + e^x)
double softplus(double x) noexcept {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

void project(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const LayerWeights& w = layer.weights;
  const Workspace& space = pass.space;
  const int32_t n = pass.n_rows(), n_heads = layer.config.n_heads;
  show_inputs(team, pass,
              {&w.conv_input.weight, &w.mixed_gate.weight, &w.rates_and_steps.weight,
               &w.rates.weight, &w.steps.weight},
              space.input.row(0), space.input.stride(), n);
  quant::MatmulJob jobs[] = {multiply(pass, w.conv_input.weight, space.input, n, space.conv_input),
                             multiply(pass, w.mixed_gate.weight, space.input, n, space.mixed_gate),
                             {},
                             {}};
  size_t n_jobs = 2;
  if (w.rates_and_steps.weight.data) {
    jobs[n_jobs++] =
        multiply(pass, w.rates_and_steps.weight, space.input, n, space.rates_and_steps);
  } else {
    for (const auto& [linear, at] : {std::pair(&w.rates, 0), std::pair(&w.steps, n_heads)}) {
      jobs[n_jobs] = multiply(pass, linear->weight, space.input, n, space.rates_and_steps + at);
      jobs[n_jobs++].out.stride = 2 * static_cast<size_t>(n_heads);
    }
  }
  quant::grouped_matmul(team, pass.matmul, {jobs, n_jobs});
}

// The convolution of a row's queries, keys and values; queries and keys become unit vectors.
void convolve(const LayerStep& layer, const ConvolutionInput& input, int64_t row) noexcept {
  const LayerConfig& config = layer.config;
  const quant::VectorKernels& kernels = layer.pass.vector();
  float* const out = layer.pass.space.convolved + row * config.n_channels;
  convolve_row(layer, input, row, out);
  kernels.silu(out, config.n_channels);
  for (int32_t h = 0; h < 2 * config.n_key_heads; ++h) {
    float* const head = out + int64_t{h} * config.d_key;
    kernels.l2_norm(head, kUnitEpsilon, config.d_key, head);
  }
  kernels.scale(out, static_cast<float>(1 / std::sqrt(static_cast<double>(config.d_key))),
                config.delta_key_width());
}

// How much each head of a row forgets, and how much it learns.
void find_decays(const LayerStep& layer, int64_t row) noexcept {
  const LayerConfig& config = layer.config;
  const LayerWeights& w = layer.weights;
  const int32_t n_heads = config.n_heads;
  const float* const from = layer.pass.space.rates_and_steps + row * 2 * n_heads;
  float* const decays = layer.pass.space.decays + row * 2 * n_heads;
  float* const rates = decays + n_heads;
  // Fused: rates and steps of the heads of each key head; else of all heads.
  const int32_t run = w.rates_and_steps.weight.data ? n_heads / config.n_key_heads : n_heads;
  for (int32_t h = 0; h < n_heads; ++h) {
    const int32_t at = h / run * 2 * run + h % run;
    const double step =
        softplus(static_cast<double>(from[at + run]) + static_cast<double>(w.step_bias[h]));
    decays[h] = static_cast<float>(std::exp(static_cast<double>(w.step_scale[h]) * step));
    rates[h] = from[at];
  }
  layer.pass.vector().sigmoid(rates, n_heads);
}

// One head of one sequence, through its rows in order.
void learn(const LayerStep& layer, int32_t sequence, int32_t head) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const std::span<const int32_t> rows = pass.rows_of(sequence);
  if (rows.empty()) return;
  const CarriedStates& carried = pass.sequences[static_cast<size_t>(sequence)]->carried();
  const size_t state_at =
      static_cast<size_t>(head) * quant::delta_state_floats(config.d_key, config.d_value);
  const int64_t key_at = int64_t{config.key_head_of(head)} * config.d_key;
  const float* const convolved = pass.space.convolved;
  quant::DeltaRuleArgs args;
  args.rows = rows.data();
  args.n_tokens = static_cast<int32_t>(rows.size());
  args.q = convolved + key_at;
  args.k = convolved + config.delta_key_width() + key_at;
  args.v = convolved + 2 * config.delta_key_width() + int64_t{head} * config.d_value;
  args.stride = static_cast<size_t>(config.n_channels);
  args.decay = pass.space.decays + head;
  args.rate = args.decay + config.n_heads;
  args.gate_stride = 2 * static_cast<size_t>(config.n_heads);
  args.out = pass.space.mixed.row(0) + int64_t{head} * config.d_value;
  args.out_stride = pass.space.mixed.stride();
  args.state = carried.present(layer.index).heads + state_at;
  args.next_state = carried.next(layer.index).heads + state_at;
  args.d_key = config.d_key;
  args.d_value = config.d_value;
  pass.vector().delta_rule(args);
}

void norm_and_gate(const LayerStep& layer, int64_t row) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  float* const mixed = pass.space.mixed.row(row);
  for (int32_t h = 0; h < config.n_heads; ++h) {
    float* const head = mixed + int64_t{h} * config.d_value;
    pass.vector().rms_norm(head, layer.weights.mixed_norm, pass.config.norm_epsilon, config.d_value,
                           head);
  }
  pass.vector().swiglu(pass.space.mixed_gate + row * config.mixed_width(), mixed,
                       config.mixed_width(), mixed);
}

}  // namespace

ActivationForms gated_delta_net_input_forms(const LayerStep& layer) noexcept {
  const LayerWeights& w = layer.weights;
  return forms_for({w.conv_input.weight, w.mixed_gate.weight, w.rates_and_steps.weight,
                    w.rates.weight, w.steps.weight},
                   layer.pass.matmul.arithmetic);
}

void mix_gated_delta_net(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const int32_t n = pass.n_rows(), n_heads = layer.config.n_heads;
  project(team, layer);

  const ConvolutionInput input = {pass.space.conv_input, layer.config.n_channels};
  team.for_each(int64_t{n} + pass.n_sequences(), [&](int64_t item) {
    if (item >= n) return carry_window(layer, input, static_cast<int32_t>(item - n));
    convolve(layer, input, item);
    find_decays(layer, item);
  });
  team.for_each(int64_t{pass.n_sequences()} * n_heads, [&](int64_t item) {
    learn(layer, static_cast<int32_t>(item / n_heads), static_cast<int32_t>(item % n_heads));
  });
  team.for_each(n, [&](int64_t row) { norm_and_gate(layer, row); });
}

}  // namespace larder::runtime
