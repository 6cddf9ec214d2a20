// Grouped-query attention: several query heads share one key and value head.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// The forms in which attention reads its normed input.
ActivationForms gqa_input_forms(const LayerStep& layer) noexcept;

// What a query at a position is multiplied by. Source: Llama 4's attn_scale and floor_scale.
// REQUIRES: span > 0.
float query_growth(int32_t span, int32_t position) noexcept;

// space.input -> space.mixed. Stores the rows' keys and values in their sequences.
void attend_gqa(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
