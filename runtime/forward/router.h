// Routing: logits of all experts -> the chosen ones and their weights. A pure function.
#pragma once

#include <cstdint>

#include "quant/kernel_set.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

struct RouterArgs {
  float* logits = nullptr;                // [n_experts]; overwritten
  const float* selection_bias = nullptr;  // [n_experts], added for the choice alone; or null
  float* scratch = nullptr;               // [2 * n_experts]
  int32_t* experts = nullptr;             // [n_active], best first; ties go to the lower index
  float* weights = nullptr;               // [n_active]
};

// REQUIRES: config.n_experts > 0. Never fails: of logits that are not finite it makes some choice
// (the caller looks at them first).
void route(const RouterConfig& config, const quant::VectorKernels& kernels,
           const RouterArgs& args) noexcept;

}  // namespace larder::runtime
