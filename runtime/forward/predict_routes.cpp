#include "runtime/forward/predict_routes.h"

#include <algorithm>

#include "runtime/forward/router.h"

namespace larder::runtime {
namespace {

constexpr int32_t kTileExperts = 32;

// The next layer with routed experts; null behind the last.
const LayerConfig* next_routed(const LayerStep& layer, int& index) noexcept {
  const ModelConfig& config = layer.pass.config;
  for (index = layer.index + 1; index < config.n_layers(); ++index) {
    const LayerConfig& next = config.layers[static_cast<size_t>(index)];
    if (next.is_moe()) return &next;
  }
  return nullptr;
}

// Behind the attention of `layer`, the stream changes little up to the next router.
void norm_stream(const Pass& pass, const Norm& norm, float* out) noexcept {
  const ModelConfig& config = pass.config;
  switch (config.norm) {
    case NormKind::rms:
      pass.vector().rms_norm(pass.stream(0), norm.weight, config.norm_epsilon, config.d_model, out);
      break;
    case NormKind::layer:
      pass.vector().layer_norm(pass.stream(0), norm.weight, norm.bias, config.norm_epsilon,
                               config.d_model, out);
      break;
  }
}

void multiply_tile(const Pass& pass, const float* router, const float* input, int32_t first,
                   int32_t n_experts) noexcept {
  const int32_t d_model = pass.config.d_model;
  const quant::WeightRows weights = {
      reinterpret_cast<const uint8_t*>(router + int64_t{first} * d_model),
      sizeof(float) * static_cast<size_t>(d_model), std::min(kTileExperts, n_experts - first),
      d_model};
  const void* const rows[] = {input};
  pass.vector().gemm_f32(weights, {rows, 1},
                         {pass.space.router_logits + first, static_cast<size_t>(n_experts)});
}

void tell_store(const Pass& pass, int index, const RouterConfig& router,
                const LayerWeights& weights) noexcept {
  const Workspace& space = pass.space;
  if (weights.router_bias)
    pass.vector().add(space.router_logits, weights.router_bias, router.n_experts);
  route(router, pass.vector(),
        {space.router_logits, weights.selection_bias, space.router_scratch, space.predicted_experts,
         space.predicted_weights});
  pass.experts.predict(index, {space.predicted_experts, static_cast<size_t>(router.n_active)});
}

}  // namespace

void predict_routes(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  // Of many rows the experts together are nearly all.
  if (pass.n_rows() != 1 || !pass.status.ok() || !pass.experts.wants_predictions()) return;
  int index = 0;
  const LayerConfig* const next = next_routed(layer, index);
  if (next == nullptr) return;
  const LayerWeights& weights = pass.weights.layers[static_cast<size_t>(index)];
  const int32_t n_experts = next->router.n_experts;
  float* const input = pass.branch(0);
  team.once([&] { norm_stream(pass, weights.ffn_norm, input); });
  team.for_each((n_experts + kTileExperts - 1) / kTileExperts, [&](int64_t tile) {
    multiply_tile(pass, weights.router, input, static_cast<int32_t>(tile) * kTileExperts,
                  n_experts);
  });
  team.once([&] { tell_store(pass, index, next->router, weights); });
}

}  // namespace larder::runtime
