// The feed-forward branch: routed experts, and the one that every token takes. A dense layer is the
// case of no routed experts.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// The forms in which experts read the normed input.
ActivationForms expert_input_forms(const LayerStep& layer) noexcept;

// space.input -> space.experts, space.weights for all rows; the observer may change them. Nothing
// for layers without a router. Raises faults.router for logits that are not finite.
void choose_experts(quant::Team& team, const LayerStep& layer) noexcept;

// space.input, experts, weights -> space.branch. Each expert's weights are asked for once, and
// multiplied with all of its rows; results are added in router order, the shared expert last.
void run_experts(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
