// A gated convolution over the last few positions. Source: LFM2 (Liquid AI), modelling code.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// The forms in which it reads its normed input.
ActivationForms short_convolution_input_forms(const LayerStep& layer) noexcept;

// space.input -> space.mixed. Leaves what the sequences carry on in their next states.
void mix_short_convolution(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
