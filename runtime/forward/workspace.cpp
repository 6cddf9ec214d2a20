#include "runtime/forward/workspace.h"

#include <algorithm>

namespace larder::runtime {
namespace {

template <class T>
void raise(T& most, T value) {
  most = std::max(most, value);
}

}  // namespace

WorkspaceSizes::WorkspaceSizes(const ModelConfig& config, const ModelWeights& weights,
                               const quant::KernelSet& kernels, quant::Arithmetic arithmetic,
                               int32_t max_rows, int32_t max_logits, int threads)
    : n_rows(static_cast<size_t>(max_rows)),
      n_logits(static_cast<size_t>(max_logits)),
      n_threads(static_cast<size_t>(threads)),
      d_model(config.d_model),
      n_vocab(config.n_vocab),
      n_rot_pairs(config.rope.n_rot / 2),
      n_bias_heads(config.relative.n_buckets > 0 ? config.layers.front().n_heads : 0),
      has_encoder(config.has_encoder()) {
  const auto see = [&](const quant::Matrix& matrix) {
    if (!matrix.data) return;
    forms |= forms_for({matrix}, arithmetic);
    raise(scratch_bytes,
          quant::matmul_scratch_bytes(kernels, matrix.format, matrix.n_cols, arithmetic));
  };
  see(weights.output.weight);
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const LayerWeights& w = weights.layers[i];
    raise(q_width, int64_t{layer.q_row_width()});
    raise(k_width, int64_t{layer.mixer == Mixer::mla ? layer.d_cached_key() : layer.k_width()});
    raise(v_width, int64_t{layer.mixer == Mixer::mla ? 0 : layer.v_width()});
    raise(mixed_width, int64_t{layer.mixed_width()});
    raise(n_experts, int64_t{layer.router.n_experts});
    raise(n_active, int64_t{layer.router.n_active});
    raise(d_ff, int64_t{layer.d_ff});
    raise(d_ff_shared, int64_t{layer.d_ff_shared});
    if (layer.carries_state()) see_carrying(layer, w);
    for (const Linear* linear : {&w.q, &w.k, &w.v, &w.q_a, &w.kv_a, &w.attn_output, &w.conv_input,
                                 &w.mixed_gate, &w.rates_and_steps, &w.rates, &w.steps, &w.source_q,
                                 &w.source_k, &w.source_v, &w.source_output})
      see(linear->weight);
    if (layer.mixer == Mixer::mla) see_latent(layer, w);
    for (const HeadStack* stack : {&w.k_b, &w.v_b}) see(stack->first);
    for (const ExpertStack* stack : {&w.gate, &w.up, &w.down}) see(stack->first);
    for (const quant::Matrix* matrix : {&w.shared_gate, &w.shared_up, &w.shared_down}) see(*matrix);
  }
}

void WorkspaceSizes::see_carrying(const LayerConfig& layer, const LayerWeights& weights) noexcept {
  raise(conv_input_width, int64_t{weights.conv_input.weight.n_rows});
  if (layer.mixer != Mixer::gated_delta_net) return;
  raise(n_channels, int64_t{layer.n_channels});
  raise(mixed_gate_width, int64_t{layer.mixed_width()});
  raise(n_state_heads, int64_t{layer.n_heads});
}

void WorkspaceSizes::see_latent(const LayerConfig& layer, const LayerWeights& weights) noexcept {
  const int64_t at_once =
      std::min(static_cast<int64_t>(n_rows), int64_t{Workspace::latent_rows(layer.n_heads)});
  raise(n_latent_heads, int64_t{layer.n_heads});
  raise(n_latent_rows, at_once * layer.n_heads);
  raise(d_query_latent, int64_t{layer.d_query_latent});
  raise(d_unrotated, int64_t{layer.d_unrotated()});
  raise(d_latent, int64_t{layer.d_latent});
  raise(latent_key_width, int64_t{layer.d_cached_key()});
  // One row of weights, while they are multiplied from the other side.
  if (weights.k_b_transposed.first.data)
    raise(scratch_bytes, sizeof(float) * static_cast<size_t>(layer.d_latent));
}

void Workspace::lay_out(Arena& arena, const WorkspaceSizes& sizes) noexcept {
  const size_t n = sizes.n_rows;
  const auto floats = [&](size_t rows, int64_t width) {
    return arena.take<float>(rows * static_cast<size_t>(width));
  };
  stream = floats(n, sizes.d_model);
  input.lay_out(arena, n, sizes.d_model, sizes.forms);
  branch = floats(n, sizes.d_model);
  q = floats(n, sizes.q_width);
  k = floats(n, sizes.k_width);
  v = floats(n, sizes.v_width);
  mixed.lay_out(arena, n, sizes.mixed_width, sizes.forms);
  cos = floats(n, sizes.n_rot_pairs);
  sin = floats(n, sizes.n_rot_pairs);
  lay_out_carrying(arena, sizes);
  lay_out_latent(arena, sizes);
  lay_out_experts(arena, sizes);
  logit_rows = arena.take<int32_t>(n);
  wanted_rows = arena.take<TokenRow>(n);
  logits = floats(sizes.n_logits, sizes.n_vocab);
  sequence_lengths = arena.take<int32_t>(n);
  first_of_sequence = arena.take<int32_t>(n + 1);
  rows_by_sequence = arena.take<int32_t>(n);
  if (sizes.n_bias_heads > 0) {
    if (sizes.has_encoder)
      encoder_bias.lay_out(arena, sizes.n_bias_heads, sizes.max_positions, true);
    decoder_bias.lay_out(arena, sizes.n_bias_heads, sizes.max_positions, false);
  }

  n_threads_ = sizes.n_threads;
  scratch_bytes_ = (sizes.scratch_bytes + 63) / 64 * 64;
  scratch_areas_ = arena.take<std::byte*>(n_threads_);
  scratch_memory_ = arena.take<std::byte>(n_threads_ * scratch_bytes_);
}

void Workspace::lay_out_carrying(Arena& arena, const WorkspaceSizes& sizes) noexcept {
  const auto floats = [&](int64_t width) {
    return arena.take<float>(sizes.n_rows * static_cast<size_t>(width));
  };
  conv_input = floats(sizes.conv_input_width);
  convolved = floats(sizes.n_channels);
  mixed_gate = floats(sizes.mixed_gate_width);
  rates_and_steps = floats(2 * sizes.n_state_heads);
  decays = floats(2 * sizes.n_state_heads);
}

void Workspace::lay_out_latent(Arena& arena, const WorkspaceSizes& sizes) noexcept {
  const auto n_queries = static_cast<size_t>(sizes.n_latent_rows);
  const size_t n_rows = sizes.d_query_latent > 0 ? sizes.n_rows : 0;
  query_latent.lay_out(arena, n_rows, sizes.d_query_latent, sizes.forms);
  unrotated.lay_out(arena, n_queries, sizes.d_unrotated, sizes.forms);
  latent_q = arena.take<float>(n_queries * static_cast<size_t>(sizes.latent_key_width));
  attended.lay_out(arena, n_queries, sizes.d_latent, sizes.forms);
  head_jobs = arena.take<quant::MatmulJob>(static_cast<size_t>(sizes.n_latent_heads));
}

void Workspace::lay_out_experts(Arena& arena, const WorkspaceSizes& sizes) noexcept {
  const size_t n = sizes.n_rows;
  const auto n_experts = static_cast<size_t>(sizes.n_experts);
  const auto d_model = static_cast<size_t>(sizes.d_model);
  const size_t n_slots = n * static_cast<size_t>(sizes.n_active);
  router_logits = arena.take<float>(n * n_experts);
  router_scratch = arena.take<float>(sizes.n_threads * 2 * n_experts);
  experts = arena.take<int32_t>(n_slots);
  weights = arena.take<float>(n_slots);
  predicted_experts = arena.take<int32_t>(static_cast<size_t>(sizes.n_active));
  predicted_weights = arena.take<float>(static_cast<size_t>(sizes.n_active));
  slot_of = arena.take<int32_t>(n_slots);
  choice_of = arena.take<int32_t>(n_slots);
  first_slot = arena.take<int32_t>(n_experts + 1);
  used = arena.take<int32_t>(n_experts);
  wave_slots = arena.take<int32_t>(n_slots);
  for (const void**& pointers : gathered) pointers = arena.take<const void*>(n_slots);
  hidden.lay_out(arena, n_slots, sizes.d_ff, sizes.forms);
  up = arena.take<float>(n_slots * hidden.stride());
  down = arena.take<float>(n_slots * d_model);
  const size_t n_shared = sizes.d_ff_shared > 0 ? n : 0;
  shared_hidden.lay_out(arena, n_shared, sizes.d_ff_shared, sizes.forms);
  shared_up = arena.take<float>(n_shared * shared_hidden.stride());
  shared_down = arena.take<float>(n_shared * d_model);
  pins = arena.take<ExpertPin>(n_experts);
  up_jobs = arena.take<quant::MatmulJob>(2 * (n_experts + 1));
  down_jobs = arena.take<quant::MatmulJob>(n_experts + 1);
}

void Workspace::connect() noexcept {
  input.connect();
  mixed.connect();
  query_latent.connect();
  unrotated.connect();
  attended.connect();
  hidden.connect();
  shared_hidden.connect();
  for (size_t i = 0; i < n_threads_; ++i) scratch_areas_[i] = scratch_memory_ + i * scratch_bytes_;
  scratch = {scratch_areas_, n_threads_};
}

}  // namespace larder::runtime
