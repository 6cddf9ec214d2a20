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

// What the heads of one kv head ask at a row, and where the answer goes: space.q -> space.mixed.
// Keys, values and what is visible of them are left open.
quant::AttentionArgs queries_of(const LayerStep& layer, int64_t row, int32_t kv_head) noexcept;

// space.input -> space.mixed. Stores the rows' keys and values in their sequences; those of rows
// that see ahead are needed in this layer only, and stay in the workspace.
void attend_gqa(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
