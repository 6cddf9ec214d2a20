#include "runtime/forward/weight_inputs.h"

#include "runtime/forward/pass.h"

namespace larder::runtime {
namespace {

void show_expert(const LayerStep& layer, int32_t expert) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const int32_t begin = space.first_slot[expert];
  const int32_t n = space.first_slot[expert + 1] - begin;
  if (n == 0) return;
  const bool is_weighed = layer.config.router.weighs_input;
  for (const quant::Matrix* weight : {&layer.weights.gate.first, &layer.weights.up.first})
    if (weight->data)
      pass.weight_inputs->read({.weight = weight,
                                .index = expert,
                                .first = space.input.row(0),
                                .stride = space.input.stride(),
                                .n_rows = n,
                                .choices = space.choice_of + begin,
                                .n_active = layer.config.router.n_active,
                                .choice_weights = is_weighed ? space.weights : nullptr});
  pass.weight_inputs->read({.weight = &layer.weights.down.first,
                            .index = expert,
                            .first = space.hidden.row(begin),
                            .stride = space.hidden.stride(),
                            .n_rows = n});
}

}  // namespace

void show_inputs(quant::Team& team, const Pass& pass,
                 std::initializer_list<const quant::Matrix*> weights, const float* first,
                 size_t stride, int32_t n_rows) noexcept {
  if (!pass.weight_inputs) return;
  team.for_each(static_cast<int64_t>(weights.size()), [&](int64_t i) {
    const quant::Matrix* weight = weights.begin()[i];
    if (weight->data)
      pass.weight_inputs->read(
          {.weight = weight, .first = first, .stride = stride, .n_rows = n_rows});
  });
}

void show_head_inputs(quant::Team& team, const Pass& pass, const quant::Matrix& weight,
                      int32_t n_heads, const float* first, size_t stride, int32_t n_rows) noexcept {
  if (!pass.weight_inputs) return;
  team.for_each(n_heads, [&](int64_t h) {
    pass.weight_inputs->read({.weight = &weight,
                              .index = static_cast<int32_t>(h),
                              .first = first + static_cast<size_t>(h * n_rows) * stride,
                              .stride = stride,
                              .n_rows = n_rows});
  });
}

void show_expert_inputs(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  if (!pass.weight_inputs || !pass.status.ok()) return;
  const Workspace& space = pass.space;
  const LayerWeights& w = layer.weights;
  if (layer.config.is_moe() && !pass.faults.router.is_raised())
    team.for_each(layer.config.router.n_experts,
                  [&](int64_t expert) { show_expert(layer, static_cast<int32_t>(expert)); });
  if (layer.config.shared == SharedExpert::none) return;
  show_inputs(team, pass, {&w.shared_gate, &w.shared_up}, space.input.row(0), space.input.stride(),
              pass.n_rows());
  show_inputs(team, pass, {&w.shared_down}, space.shared_hidden.row(0),
              space.shared_hidden.stride(), pass.n_rows());
}

}  // namespace larder::runtime
