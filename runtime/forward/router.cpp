#include "runtime/forward/router.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/forward/sparsemixer.h"

namespace larder::runtime {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// What sums of weights are kept above before a division. Source: the smallest normal f16, as
// llama.cpp uses it (2026-08); DeepSeek's 1e-20 differs only where all weights vanish.
constexpr float kLeastSum = 6.103515625e-5f;

float group_score(GroupScore kind, const float* scores, int32_t n) noexcept {
  float best = kNever, second = kNever;
  for (int32_t i = 0; i < n; ++i) {
    if (scores[i] > best) {
      second = best;
      best = scores[i];
    } else if (scores[i] > second) {
      second = scores[i];
    }
  }
  return kind == GroupScore::max || n < 2 ? best : best + second;
}

// Takes the experts of all but the best groups out of the choice.
void keep_best_groups(const RouterConfig& config, const quant::VectorKernels& kernels,
                      float* scores, float* scratch, int32_t* chosen) noexcept {
  const int32_t size = config.n_experts / config.n_groups;
  for (int32_t g = 0; g < config.n_groups; ++g)
    scratch[g] = group_score(config.group_score, scores + g * size, size);
  // n_active >= 1, but fewer experts than groups may be asked for: groups are marked one by one.
  for (int32_t kept = 0; kept < config.n_active_groups; ++kept) {
    kernels.top_k(scratch, config.n_groups, 1, chosen);
    scratch[*chosen] = std::numeric_limits<float>::quiet_NaN();
  }
  for (int32_t g = 0; g < config.n_groups; ++g)
    if (scratch[g] == scratch[g])  // not marked
      std::fill_n(scores + g * size, size, kNever);
}

void scale_weights(const RouterConfig& config, const RouterArgs& args) noexcept {
  if (config.scale == 1) return;
  for (int32_t i = 0; i < config.n_active; ++i) args.weights[i] *= config.scale;
}

void renormalise(float* weights, int32_t n) noexcept {
  float sum = 0;
  for (int32_t i = 0; i < n; ++i) sum += weights[i];
  sum = std::max(sum, kLeastSum);
  for (int32_t i = 0; i < n; ++i) weights[i] /= sum;
}

}  // namespace

void route(const RouterConfig& config, const quant::VectorKernels& kernels,
           const RouterArgs& args) noexcept {
  const int32_t n = config.n_experts, n_active = config.n_active;
  if (config.gate == RouterGate::sparsemixer) {
    route_sparsemixer(n, kernels, args);
    return scale_weights(config, args);
  }
  float* probabilities = args.logits;
  if (config.gate == RouterGate::softmax) kernels.softmax(probabilities, n);
  if (config.gate == RouterGate::sigmoid) kernels.sigmoid(probabilities, n);

  const float* scores = probabilities;
  if (args.selection_bias || config.n_groups > 1) {
    float* own = args.scratch;
    std::memcpy(own, probabilities, sizeof(float) * static_cast<size_t>(n));
    if (args.selection_bias) kernels.add(own, args.selection_bias, n);
    if (config.n_groups > 1) keep_best_groups(config, kernels, own, args.scratch + n, args.experts);
    scores = own;
  }
  kernels.top_k(scores, n, n_active, args.experts);

  for (int32_t i = 0; i < n_active; ++i) args.weights[i] = probabilities[args.experts[i]];
  if (config.gate == RouterGate::softmax_selected) kernels.softmax(args.weights, n_active);
  if (config.gate == RouterGate::sigmoid_selected) kernels.sigmoid(args.weights, n_active);
  if (config.gate != RouterGate::softmax_selected && config.renormalises)
    renormalise(args.weights, n_active);
  scale_weights(config, args);
}

}  // namespace larder::runtime
