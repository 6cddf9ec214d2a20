#include "runtime/forward/moe_block.h"

#include <algorithm>

namespace larder::runtime {
namespace {

// gate, up -> hidden, in gate's place, with the forms that `down` reads.
void activate(const LayerStep& layer, const ActivationBuffer& hidden, const float* up, int64_t row,
              int32_t width, ActivationForms forms) noexcept {
  float* gate = hidden.row(row);
  switch (layer.config.activation) {
    case Activation::swiglu:
      layer.pass.vector().swiglu(gate, up + static_cast<size_t>(row) * hidden.stride(), width,
                                 gate);
  }
  hidden.round(layer.pass.vector(), row, width, forms);
}

// Activations of a wave: its slots, then, in the first wave, the rows of the shared expert.
void activate_wave(quant::Team& team, const LayerStep& layer, const ExpertWave& wave) noexcept {
  const Workspace& space = layer.pass.space;
  const quant::Arithmetic arithmetic = layer.pass.matmul.arithmetic;
  const ActivationForms forms = forms_for({layer.weights.down.first}, arithmetic);
  const ActivationForms shared_forms = forms_for({layer.weights.shared_down}, arithmetic);
  team.for_each(wave.n_slots() + wave.n_shared_rows(), [&](int64_t item) {
    if (item < wave.n_slots())
      activate(layer, space.hidden, space.up, wave.first_slot() + item, layer.config.d_ff, forms);
    else
      activate(layer, space.shared_hidden, space.shared_up, item - wave.n_slots(),
               layer.config.d_ff_shared, shared_forms);
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
    kernels.add_scaled(sum, space.weights[choice],
                       space.down + int64_t{space.slot_of[choice]} * d_model, d_model);
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
    wave.next(layer);
  });
  while (!wave.is_empty()) {
    quant::grouped_matmul(team, pass.matmul, {pass.space.up_jobs, wave.n_up_jobs()});
    activate_wave(team, layer, wave);
    quant::grouped_matmul(team, pass.matmul, {pass.space.down_jobs, wave.n_down_jobs()});
    team.once([&] { wave.next(layer); });
  }
  team.for_each(pass.n_rows(), [&](int64_t row) { add_results(layer, row); });
}

}  // namespace larder::runtime
