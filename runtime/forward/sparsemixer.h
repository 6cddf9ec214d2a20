// The router of Phi's mixtures: two experts, one after the other, each weighed by a softmax over
// those whose logits come near to its own; the two weights have no common sum.
#pragma once

#include "runtime/forward/router.h"

namespace larder::runtime {

// Fills kSparsemixerExperts experts and weights; no selection bias. REQUIRES: n_experts >= 2.
void route_sparsemixer(int32_t n_experts, const quant::VectorKernels& kernels,
                       const RouterArgs& args) noexcept;

}  // namespace larder::runtime
