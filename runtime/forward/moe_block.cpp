#include "runtime/forward/moe_block.h"

#include <algorithm>

#include "runtime/forward/predict_routes.h"

namespace larder::runtime {
namespace {

// Of swiglu_clamped. Source: gpt-oss, modelling code and configuration, 2026-08.
constexpr float kAlpha = 1.702f, kLimit = 7;

void add_bias(const Pass& pass, const ExpertStack& stack, int32_t expert, float* row) noexcept {
  if (const float* bias = stack.bias_of(expert)) pass.vector().add(row, bias, stack.first.n_rows);
}

// gate, up -> hidden, in gate's place, with the forms that `down` reads. Without a gate `up` is in
// its place already.
void activate(const LayerStep& layer, const ActivationBuffer& hidden, const float* up, int64_t row,
              int32_t width, ActivationForms forms) noexcept {
  const quant::VectorKernels& kernels = layer.pass.vector();
  float* gate = hidden.row(row);
  switch (layer.config.activation) {
    case Activation::swiglu:
      kernels.swiglu(gate, up, width, gate);
      break;
    case Activation::swiglu_clamped:
      kernels.swiglu_clamped(gate, up, kAlpha, kLimit, width, gate);
      break;
    case Activation::relu:
      kernels.relu(gate, width);
      break;
  }
  hidden.round(kernels, row, width, forms);
}

void activate_slot(const LayerStep& layer, int64_t slot, ActivationForms forms) noexcept {
  const Workspace& space = layer.pass.space;
  const int32_t choice = space.choice_of[slot], expert = space.experts[choice];
  float* gate = space.hidden.row(slot);
  float* up = is_gated(layer.config.activation)
                  ? space.up + static_cast<size_t>(slot) * space.hidden.stride()
                  : gate;
  if (layer.config.router.weighs_input) {
    // gate and up are linear: weighing what they give is weighing what they read
    const quant::VectorKernels& kernels = layer.pass.vector();
    kernels.scale(gate, space.weights[choice], layer.config.d_ff);
    if (up != gate) kernels.scale(up, space.weights[choice], layer.config.d_ff);
  }
  add_bias(layer.pass, layer.weights.gate, expert, gate);
  add_bias(layer.pass, layer.weights.up, expert, up);
  activate(layer, space.hidden, up, slot, layer.config.d_ff, forms);
}

void activate_shared(const LayerStep& layer, int64_t row, ActivationForms forms) noexcept {
  const Workspace& space = layer.pass.space;
  const float* up = space.shared_up + static_cast<size_t>(row) * space.shared_hidden.stride();
  activate(layer, space.shared_hidden, up, row, layer.config.d_ff_shared, forms);
}

// Activations of a wave: its slots, then, in the first wave, the rows of the shared expert.
void activate_wave(quant::Team& team, const LayerStep& layer, const ExpertWave& wave) noexcept {
  const quant::Arithmetic arithmetic = layer.pass.matmul.arithmetic;
  const ActivationForms forms = forms_for({layer.weights.down.first}, arithmetic);
  const ActivationForms shared_forms = forms_for({layer.weights.shared_down}, arithmetic);
  team.for_each(wave.n_slots() + wave.n_shared_rows(), [&](int64_t item) {
    if (item < wave.n_slots())
      activate_slot(layer, layer.pass.space.wave_slots[item], forms);
    else
      activate_shared(layer, item - wave.n_slots(), shared_forms);
  });
}

void add_results(const LayerStep& layer, int64_t row) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const quant::VectorKernels& kernels = pass.vector();
  const int32_t n_active = layer.config.router.n_active, d_model = pass.config.d_model;
  float* sum = pass.branch(row);
  std::fill_n(sum, d_model, 0.0f);
  for (int32_t i = 0; i < n_active; ++i) {
    const int64_t choice = row * n_active + i;
    const float weight = layer.config.router.weighs_input ? 1 : space.weights[choice];
    kernels.add_scaled(sum, weight, space.down + int64_t{space.slot_of[choice]} * d_model, d_model);
    if (const float* bias = layer.weights.down.bias_of(space.experts[choice]))
      kernels.add_scaled(sum, weight, bias, d_model);
  }
  if (layer.config.shared == SharedExpert::none) return;
  const float* shared = space.shared_down + row * d_model;
  if (layer.config.shared == SharedExpert::sigmoid_gated) {
    float gate = kernels.dot_f32(layer.weights.shared_router, space.input.row(row), d_model);
    kernels.sigmoid(&gate, 1);
    kernels.add_scaled(sum, gate, shared, d_model);
  } else {
    kernels.add(sum, shared, d_model);
  }
}

}  // namespace

ActivationForms expert_input_forms(const LayerStep& layer) noexcept {
  const LayerWeights& w = layer.weights;
  return forms_for({w.gate.first, w.up.first, w.shared_gate, w.shared_up},
                   layer.pass.matmul.arithmetic);
}

void run_experts(quant::Team& team, const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  ExpertWave& wave = pass.wave;
  team.once([&] {
    wave.begin(layer);
    wave.next(layer, ExpertWave::Arrivals::at_hand);
  });
  predict_routes(team, layer);
  while (!wave.is_over()) {
    if (wave.is_empty()) {
      team.barrier();  // all have seen this wave before the next is made
    } else {
      quant::grouped_matmul(team, pass.matmul, {pass.space.up_jobs, wave.n_up_jobs()});
      activate_wave(team, layer, wave);
      quant::grouped_matmul(team, pass.matmul, {pass.space.down_jobs, wave.n_down_jobs()});
    }
    team.once([&] { wave.next(layer, ExpertWave::Arrivals::awaited); });
  }
  show_expert_inputs(team, layer);
  team.for_each(pass.n_rows(), [&](int64_t row) { add_results(layer, row); });
}

}  // namespace larder::runtime
