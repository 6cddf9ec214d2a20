#include "runtime/model/token_work.h"

namespace larder::runtime {
namespace {

Work vector_work(const float* data, int64_t n) noexcept {
  return {data == nullptr ? 0 : static_cast<uint64_t>(n) * sizeof(float), 0};
}

Work matrix_work(const quant::Matrix& matrix) noexcept {
  if (matrix.data == nullptr) return {};
  const uint64_t ops =
      2 * static_cast<uint64_t>(matrix.n_rows) * static_cast<uint64_t>(matrix.n_cols);
  const quant::FormatTraits& traits = *quant::find_format(static_cast<int32_t>(matrix.format));
  return {matrix.bytes(), ops, traits.activation == quant::ActivationFormat::f32 ? 0 : ops};
}

Work linear_work(const Linear& linear) noexcept {
  return matrix_work(linear.weight) + vector_work(linear.bias, linear.weight.n_rows);
}

Work norm_work(const Norm& norm, int64_t d_model) noexcept {
  return vector_work(norm.weight, d_model) + vector_work(norm.bias, d_model);
}

Work heads_work(const HeadStack& stack, const LayerConfig& config) noexcept {
  return static_cast<uint64_t>(config.n_heads) * matrix_work(stack.first);
}

Work latent_work(const LayerConfig& config, const LayerWeights& layer) noexcept {
  return linear_work(layer.q_a) + vector_work(layer.q_a_norm, config.d_query_latent) +
         linear_work(layer.kv_a) + vector_work(layer.kv_a_norm, config.d_latent) +
         heads_work(layer.k_b, config) + heads_work(layer.k_b_transposed, config) +
         heads_work(layer.v_b, config);
}

// Its keys and values are computed when the source is encoded.
Work source_work(const LayerWeights& layer, int64_t d_model) noexcept {
  return norm_work(layer.source_norm, d_model) + linear_work(layer.source_q) +
         linear_work(layer.source_output);
}

// With the state, which is read and written.
Work carrying_work(const LayerConfig& config, const LayerWeights& layer) noexcept {
  if (!config.carries_state()) return {};
  const auto n_channels = static_cast<uint64_t>(config.n_channels);
  const auto n_taps = static_cast<uint64_t>(config.n_taps);
  Work work = linear_work(layer.conv_input) +
              vector_work(layer.conv_taps, int64_t{config.n_taps} * config.n_channels) +
              Work{n_taps * n_channels * sizeof(float), 2 * n_taps * n_channels};
  if (config.mixer != Mixer::gated_delta_net) return work;
  const uint64_t n_held = static_cast<uint64_t>(config.n_heads) *
                          static_cast<uint64_t>(config.d_key) *
                          static_cast<uint64_t>(config.d_value);
  // Of each element: what its key holds, forgetting, learning, what its query reads.
  return work + Work{2 * n_held * sizeof(float), 7 * n_held} + linear_work(layer.mixed_gate) +
         linear_work(layer.rates_and_steps) + linear_work(layer.rates) + linear_work(layer.steps) +
         vector_work(layer.step_bias, config.n_heads) +
         vector_work(layer.step_scale, config.n_heads) +
         vector_work(layer.mixed_norm, config.d_value);
}

Work attention_work(const LayerConfig& config, const LayerWeights& layer) noexcept {
  const bool is_per_head = config.qk_norm != QkNorm::row_before_rope;
  return linear_work(layer.q) + linear_work(layer.k) + linear_work(layer.v) +
         linear_work(layer.attn_output) + latent_work(config, layer) +
         carrying_work(config, layer) +
         vector_work(layer.q_norm, is_per_head ? config.d_key : config.q_width()) +
         vector_work(layer.k_norm, is_per_head ? config.d_key : config.k_width()) +
         vector_work(layer.sinks, config.n_heads);
}

Work stack_work(const ExpertStack& stack) noexcept {
  return matrix_work(stack.first) + vector_work(stack.bias, stack.first.n_rows);
}

Work ffn_work(const LayerConfig& config, const LayerWeights& layer, int64_t d_model) noexcept {
  const auto n_experts = static_cast<uint64_t>(config.router.n_experts);
  const auto n_active = static_cast<uint64_t>(config.router.n_active);
  const auto width = static_cast<uint64_t>(d_model);
  const Work router = {n_experts * width * sizeof(float), 2 * n_experts * width};
  return router + vector_work(layer.router_bias, config.router.n_experts) +
         vector_work(layer.selection_bias, config.router.n_experts) +
         n_active * expert_work(layer) + matrix_work(layer.shared_gate) +
         matrix_work(layer.shared_up) + matrix_work(layer.shared_down) +
         vector_work(layer.shared_router, d_model);
}

// Behind its keys and values.
Work asking_work(const LayerConfig& config, const LayerWeights& layer, int64_t d_model) noexcept {
  return linear_work(layer.q_a) + linear_work(layer.q) + heads_work(layer.k_b, config) +
         heads_work(layer.k_b_transposed, config) + heads_work(layer.v_b, config) +
         linear_work(layer.attn_output) + source_work(layer, d_model) +
         ffn_work(config, layer, d_model);
}

// Of a layer's keys and values; a latent is both.
uint64_t position_bytes(const LayerConfig& layer, CacheTypes types) noexcept {
  const bool is_latent = layer.mixer == Mixer::mla;
  return static_cast<uint64_t>(layer.n_kv_heads) *
         (cached_bytes(types.keys, layer.d_cached_key()) +
          (is_latent ? 0 : cached_bytes(types.values, layer.d_value)));
}

// Of tokens at positions [first, first + n), each of which sees itself and all before it.
constexpr uint64_t n_seen(uint64_t first, uint64_t n) { return n * first + n * (n + 1) / 2; }

}  // namespace

Work expert_work(const LayerWeights& layer) noexcept {
  return stack_work(layer.gate) + stack_work(layer.up) + stack_work(layer.down);
}

TokenWork token_work(const ModelConfig& config, const ModelWeights& weights,
                     CacheTypes cache) noexcept {
  TokenWork work;
  work.body.bytes = quant::row_bytes(weights.token_embd.format, weights.token_embd.n_cols);
  for (auto i = static_cast<size_t>(config.decoder().first); i < weights.layers.size(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const LayerWeights& tensors = weights.layers[i];
    work.body = work.body + norm_work(tensors.attn_norm, config.d_model) +
                attention_work(layer, tensors) + source_work(tensors, config.d_model) +
                norm_work(tensors.ffn_norm, config.d_model) +
                ffn_work(layer, tensors, config.d_model);
    const bool is_last = i + 1 == weights.layers.size();
    if (is_last) work.spared_ops = asking_work(layer, tensors, config.d_model).ops;
    if (layer.carries_state()) continue;  // nothing is remembered of each position
    const uint64_t multiplied =
        static_cast<uint64_t>(layer.n_heads) *
        static_cast<uint64_t>(layer.d_cached_key() + layer.d_cached_value());
    const Work remembered = {position_bytes(layer, cache), 2 * multiplied};
    Work& position = layer.is_windowed ? work.windowed_position : work.position;
    position = position + remembered;
    if (is_last)
      (layer.is_windowed ? work.spared_windowed_position_ops : work.spared_position_ops) =
          remembered.ops;
    if (layer.attends_source) work.source_position = work.source_position + remembered;
  }
  work.window = config.window;
  work.head = norm_work(weights.output_norm, config.d_model) + linear_work(weights.output);
  return work;
}

Work TokenWork::decode(int64_t n_positions, int64_t n_source) const noexcept {
  const auto n_windowed = window.n_visible(static_cast<int32_t>(n_positions - 1));
  return body + head + static_cast<uint64_t>(n_positions) * position +
         static_cast<uint64_t>(n_windowed) * windowed_position +
         static_cast<uint64_t>(n_source) * source_position;
}

uint64_t TokenWork::n_seen_in_windows(int64_t first, int64_t n_tokens) const noexcept {
  if (windowed_position.ops == 0) return 0;
  uint64_t n = 0;
  for (int64_t i = 0; i < n_tokens; ++i)
    n += static_cast<uint64_t>(window.n_visible(static_cast<int32_t>(first + i)));
  return n;
}

uint64_t TokenWork::prefill_ops(int64_t first, int64_t n_tokens) const noexcept {
  if (n_tokens == 0) return 0;
  const auto n = static_cast<uint64_t>(n_tokens), before = static_cast<uint64_t>(first);
  const uint64_t all = n * body.ops + n_seen(before, n) * position.ops +
                       n_seen_in_windows(first, n_tokens) * windowed_position.ops + head.ops;
  const uint64_t spared = (n - 1) * spared_ops + n_seen(before, n - 1) * spared_position_ops +
                          n_seen_in_windows(first, n_tokens - 1) * spared_windowed_position_ops;
  return all - spared;
}

}  // namespace larder::runtime
