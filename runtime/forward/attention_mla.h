// Latent attention (MLA): a position is remembered as one latent and one rotated key, which all
// heads share. Keys and values are never expanded: queries are taken into the latent's space, and
// what is attended is taken out of it again (the absorbed form).
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// The forms in which attention reads its normed input.
ActivationForms mla_input_forms(const LayerStep& layer) noexcept;

// space.input -> space.mixed. Stores the rows' latents and rotated keys in their sequences.
void attend_mla(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
