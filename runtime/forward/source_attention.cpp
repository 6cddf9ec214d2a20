#include "runtime/forward/source_attention.h"

#include "runtime/forward/attention_gqa.h"

namespace larder::runtime {
namespace {

void store_row(const LayerStep& layer, int64_t row) noexcept {
  Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const float* k = pass.space.k + row * config.k_width();
  const float* v = pass.space.v + row * config.v_width();
  const quant::VectorKernels& kernels = pass.vector();
  if (!kernels.all_finite(k, config.k_width()) || !kernels.all_finite(v, config.v_width()))
    pass.faults.mixer.raise(row);
  for (int32_t h = 0; h < config.n_kv_heads; ++h)
    pass.sequence_of(row).store_source(pass.kernels, layer.index, h, pass.position_of(row),
                                       k + int64_t{h} * config.d_key,
                                       v + int64_t{h} * config.d_value);
}

void store_layer(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const LayerWeights& w = layer.weights;
  const Workspace& space = pass.space;
  const int32_t n = pass.n_rows();
  show_inputs(team, pass, {&w.source_k.weight, &w.source_v.weight}, space.input.row(0),
              space.input.stride(), n);
  const quant::MatmulJob projections[] = {
      multiply(pass, w.source_k.weight, space.input, n, space.k),
      multiply(pass, w.source_v.weight, space.input, n, space.v)};
  quant::grouped_matmul(team, pass.matmul, projections);
  team.for_each(n, [&](int64_t row) { store_row(layer, row); });
}

void attend_heads(const LayerStep& layer, int64_t row, int32_t kv_head) noexcept {
  const SequenceState& sequence = layer.pass.sequence_of(row);
  quant::AttentionArgs args = queries_of(layer, row, kv_head);
  args.keys = sequence.source_keys(layer.index, kv_head);
  args.values = sequence.source_values(layer.index, kv_head);
  args.last = sequence.n_source() - 1;
  layer.pass.vector().attend(&args, 1);
}

}  // namespace

ActivationForms source_query_forms(const LayerStep& layer) noexcept {
  return forms_for({layer.weights.source_q.weight}, layer.pass.matmul.arithmetic);
}

ActivationForms source_forms(const Pass& pass) noexcept {
  ActivationForms forms = 0;
  for (const LayerWeights& layer : pass.weights.layers)
    forms |= forms_for({layer.source_k.weight, layer.source_v.weight}, pass.matmul.arithmetic);
  return forms;
}

void attend_source(quant::Team& team, const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const int32_t n = pass.n_rows(), n_kv = layer.config.n_kv_heads;
  show_inputs(team, pass, {&layer.weights.source_q.weight}, pass.space.input.row(0),
              pass.space.input.stride(), n);
  const quant::MatmulJob queries[] = {
      multiply(pass, layer.weights.source_q.weight, pass.space.input, n, pass.space.q)};
  quant::grouped_matmul(team, pass.matmul, queries);
  team.for_each(int64_t{n} * n_kv, [&](int64_t item) {
    attend_heads(layer, item / n_kv, static_cast<int32_t>(item % n_kv));
  });
}

void store_source(quant::Team& team, Pass& pass) noexcept {
  const LayerRange decoder = pass.config.decoder();
  for (int32_t i = decoder.first; i < decoder.end && !pass.stops; ++i) {
    store_layer(team, layer_of(pass, i));
    team.once([&] {
      pass.status = pass.faults.of_layer(pass, i);
      pass.stops = !pass.status.ok();
    });
  }
}

}  // namespace larder::runtime
