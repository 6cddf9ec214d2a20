// Gated delta net: a matrix a head that forgets, and learns the value of each position under its
// key. Source: "Gated Delta Networks" (arXiv 2412.06464) and Qwen3-Next's modelling code.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// The forms in which it reads its normed input.
ActivationForms gated_delta_net_input_forms(const LayerStep& layer) noexcept;

// space.input -> space.mixed. Leaves what the sequences carry on in their next states.
void mix_gated_delta_net(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
