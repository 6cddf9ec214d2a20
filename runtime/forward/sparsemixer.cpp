#include "runtime/forward/sparsemixer.h"

#include <algorithm>
#include <cmath>

namespace larder::runtime {
namespace {

// Experts that fall behind the best by a larger part of their size are left out. Source: twice
// Phi-3.5-MoE's router_jitter_noise of 0.01; files do not hold it.
constexpr float kThreshold = 0.01f * 2;

bool is_near(float logit, float best) noexcept {
  // no other form of this comparison keeps an expert where both are 0
  return !((best - logit) / std::max(std::abs(logit), best) > kThreshold);
}

// The weight of `expert` among all but `taken`. near: [n_experts].
float weight_of(int32_t expert, int32_t taken, int32_t n_experts,
                const quant::VectorKernels& kernels, const float* logits, float* near) noexcept {
  int32_t n = 0, place = 0;
  for (int32_t i = 0; i < n_experts; ++i) {
    if (i == taken || !is_near(logits[i], logits[expert])) continue;
    if (i == expert) place = n;
    near[n++] = logits[i];
  }
  kernels.softmax(near, n);
  return near[place];
}

}  // namespace

void route_sparsemixer(int32_t n_experts, const quant::VectorKernels& kernels,
                       const RouterArgs& args) noexcept {
  constexpr int32_t kNone = -1;
  kernels.top_k(args.logits, n_experts, kSparsemixerExperts, args.experts);
  const int32_t first = args.experts[0], second = args.experts[1];
  args.weights[0] = weight_of(first, kNone, n_experts, kernels, args.logits, args.scratch);
  args.weights[1] = weight_of(second, first, n_experts, kernels, args.logits, args.scratch);
}

}  // namespace larder::runtime
