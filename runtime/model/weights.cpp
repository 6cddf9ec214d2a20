#include "runtime/model/weights.h"

#include <charconv>
#include <cmath>

#include "runtime/model/tensor_binder.h"
#include "runtime/model/tensor_schema.h"

namespace larder::runtime {
namespace {

Dims model_dims(const ModelConfig& config) {
  Dims dims;
  dims.set(Dim::d_model, config.d_model);
  dims.set(Dim::n_vocab, config.n_vocab);
  dims.set(Dim::n_rot_pairs, config.rope.n_rot / 2);
  return dims;
}

Dims layer_dims(const ModelConfig& config, const LayerConfig& layer) {
  Dims dims = model_dims(config);
  dims.set(Dim::n_heads, layer.n_heads);
  dims.set(Dim::d_key, layer.d_key);
  dims.set(Dim::q_width, layer.q_width());
  dims.set(Dim::q_row_width, layer.q_row_width());
  dims.set(Dim::k_width, layer.k_width());
  dims.set(Dim::v_width, layer.v_width());
  dims.set(Dim::qkv_width, layer.q_row_width() + layer.k_width() + layer.v_width());
  dims.set(Dim::mixed_width, layer.mixed_width());
  dims.set(Dim::d_value, layer.d_value);
  dims.set(Dim::n_taps, layer.n_taps);
  dims.set(Dim::n_channels, layer.n_channels);
  dims.set(Dim::d_model_thrice, 3 * int64_t{config.d_model});
  dims.set(Dim::n_heads_twice, 2 * int64_t{layer.n_heads});
  dims.set(Dim::d_unrotated, layer.d_unrotated());
  dims.set(Dim::d_latent, layer.d_latent);
  dims.set(Dim::d_query_latent, layer.d_query_latent);
  dims.set(Dim::d_cached_key, layer.d_cached_key());
  dims.set(Dim::kv_b_width, int64_t{layer.n_heads} * (layer.d_unrotated() + layer.d_value));
  dims.set(Dim::d_ff, layer.d_ff);
  dims.set(Dim::d_ff_shared, layer.d_ff_shared);
  dims.set(Dim::n_buckets, config.relative.n_buckets);
  dims.set(Dim::n_experts, layer.router.n_experts);
  return dims;
}

// Which parts a layer has: by its configuration, and by the tensors that are there.
class Parts {
 public:
  Parts(const TensorBinder& binder, const std::string& prefix, const ModelConfig& config,
        int32_t index)
      : layer_(config.layers[static_cast<size_t>(index)]),
        norm_(config.norm),
        is_gated_(is_gated(layer_.activation)),
        has_position_bias_(config.relative.n_buckets > 0 &&
                           (index == config.encoder().first || index == config.decoder().first)),
        is_attn_o_(binder.has(prefix + "attn_o.weight")),
        is_moe_(layer_.is_moe()),
        is_gqa_(layer_.mixer == Mixer::gqa),
        is_latent_(layer_.mixer == Mixer::mla),
        is_fused_latent_kv_(!binder.has(prefix + "attn_k_b.weight") &&
                            binder.has(prefix + "attn_kv_b.weight")),
        is_direct_query_(binder.has(prefix + "attn_q.weight") || layer_.d_query_latent == 0),
        is_fused_rates_(binder.has(prefix + "ssm_ba.weight")),
        is_fused_qkv_(binder.has(prefix + "attn_qkv.weight")),
        has_expert_tensors_(is_gated_ && binder.has(prefix + "ffn_down.0.weight")),
        is_fused_gate_up_(is_gated_ && binder.has(prefix + "ffn_gate_up_exps.weight")),
        is_shared_(layer_.shared != SharedExpert::none ||
                   binder.has(prefix + "ffn_up_shexp.weight")),
        ffn_norm_(binder.has(prefix + "ffn_norm.weight")              ? Part::ffn_norm
                  : binder.has(prefix + "post_attention_norm.weight") ? Part::post_attention_norm
                  : binder.has(prefix + "attn_output_norm.weight")    ? Part::attn_output_norm
                                                                      : Part::ffn_norm) {}

  bool has(Part part) const noexcept {
    switch (part) {
      case Part::always:
        return true;
      case Part::layer_norm:
        return norm_ == NormKind::layer;
      case Part::output_norm:
      case Part::token_embd_norm:
      case Part::two_stacks:
        return false;
      case Part::attention:
        return !layer_.carries_state();
      case Part::short_convolution:
        return layer_.mixer == Mixer::short_convolution;
      case Part::delta_net:
        return is_delta_net();
      case Part::fused_rates:
        return is_delta_net() && is_fused_rates_;
      case Part::split_rates:
        return is_delta_net() && !is_fused_rates_;
      case Part::position_bias:
        return has_position_bias_;
      case Part::source:
        return layer_.attends_source;
      case Part::sinks:
        return layer_.has_sinks;
      case Part::split_qkv:
        return is_gqa_ && !is_fused_qkv_;
      case Part::fused_qkv:
        return is_gqa_ && is_fused_qkv_;
      case Part::latent:
        return is_latent_;
      case Part::direct_query:
        return is_latent_ && is_direct_query_;
      case Part::latent_query:
        return is_latent_ && !is_direct_query_;
      case Part::split_latent_kv:
        return is_latent_ && !is_fused_latent_kv_;
      case Part::fused_latent_kv:
        return is_latent_ && is_fused_latent_kv_;
      case Part::head_qk_norm:
        return layer_.qk_norm == QkNorm::head_before_rope ||
               layer_.qk_norm == QkNorm::head_after_rope;
      case Part::row_qk_norm:
        return layer_.qk_norm == QkNorm::row_before_rope;
      case Part::attn_output:
        return has(Part::attention) && !is_attn_o_;
      case Part::attn_o:
        return has(Part::attention) && is_attn_o_;
      case Part::ffn_norm:
      case Part::post_attention_norm:
      case Part::attn_output_norm:
        return ffn_norm_ == part;
      case Part::routed:
        return is_moe_;
      case Part::selection_bias:
        return is_moe_ && layer_.router.gate != RouterGate::sparsemixer;
      case Part::expert_tensors:
        return is_moe_ && has_expert_tensors_;
      case Part::expert_stacks:
        return is_moe_ && !has_expert_tensors_;
      case Part::split_gate_up:
        return is_moe_ && !has_expert_tensors_ && !is_fused_gate_up_;
      case Part::split_gate:
        return has(Part::split_gate_up) && is_gated_;
      case Part::fused_gate_up:
        return is_moe_ && !has_expert_tensors_ && is_fused_gate_up_;
      case Part::dense:
        return !is_moe_;
      case Part::dense_gate:
        return !is_moe_ && is_gated_;
      case Part::shared:
        return is_moe_ && is_shared_;
      case Part::shared_gate:
        return is_moe_ && is_shared_ && is_gated_;
    }
    return false;
  }
  // Why a tensor of an absent part cannot be ignored.
  Status refusal(Part part, const std::string& name) const {
    const bool is_of_experts =
        part == Part::routed || part == Part::selection_bias || part == Part::expert_tensors ||
        part == Part::expert_stacks || part == Part::split_gate_up || part == Part::split_gate ||
        part == Part::fused_gate_up || part == Part::shared || part == Part::shared_gate;
    if (!is_moe_ && is_of_experts)
      return Status(Cause::hyper_parameter,
                    "is there, but by its metadata (expert_count, leading_dense_block_count) this "
                    "layer has no experts",
                    "tensor " + name);
    return Status(Cause::unsupported, "this architecture has no such step here", "tensor " + name);
  }

 private:
  bool is_delta_net() const noexcept { return layer_.mixer == Mixer::gated_delta_net; }

  const LayerConfig& layer_;
  NormKind norm_;
  bool is_gated_, has_position_bias_, is_attn_o_;
  bool is_moe_, is_gqa_, is_latent_, is_fused_latent_kv_, is_direct_query_, is_fused_rates_,
      is_fused_qkv_, has_expert_tensors_, is_fused_gate_up_, is_shared_;
  Part ffn_norm_;  // the name that it has here
};

Linear rows_of(const Linear& from, int32_t first, int32_t n) {
  Linear out = from;
  out.weight.data +=
      quant::row_bytes(from.weight.format, from.weight.n_cols) * static_cast<size_t>(first);
  out.weight.n_rows = n;
  if (from.bias) out.bias = from.bias + first;
  return out;
}

ExpertStack rows_of(const ExpertStack& from, int32_t first, int32_t n) {
  ExpertStack out = from;
  const size_t skipped_bytes =
      quant::row_bytes(from.first.format, from.first.n_cols) * static_cast<size_t>(first);
  out.first.data += skipped_bytes;
  out.first.n_rows = n;
  for (ExpertStack::Place& place : out.places) {
    place.data += skipped_bytes;
    place.offset += skipped_bytes;
  }
  if (from.bias) out.bias = from.bias + first;
  return out;
}

// Fused tensors hold their parts' rows one behind another: q, k, v; gate, up; of each head k, v.
void split_fused(const LayerConfig& layer, LayerTensors& tensors) {
  if (tensors.qkv.weight.data) {
    const int32_t q = layer.q_row_width(), k = layer.k_width();
    tensors.q = rows_of(tensors.qkv, 0, q);
    tensors.k = rows_of(tensors.qkv, q, k);
    tensors.v = rows_of(tensors.qkv, q + k, layer.v_width());
  }
  if (tensors.kv_b.weight.data) {
    const int32_t n_keys = layer.d_unrotated();
    const Linear keys = rows_of(tensors.kv_b, 0, n_keys);
    const Linear values = rows_of(tensors.kv_b, n_keys, layer.d_value);
    const size_t stride_bytes = keys.weight.bytes() + values.weight.bytes();
    tensors.k_b_transposed = {keys.weight, stride_bytes};
    tensors.v_b = {values.weight, stride_bytes};
  }
  if (tensors.gate_up.n_experts() > 0) {
    tensors.gate = rows_of(tensors.gate_up, 0, layer.d_ff);
    tensors.up = rows_of(tensors.gate_up, layer.d_ff, layer.d_ff);
  }
}

Status bind_layer(TensorBinder& binder, const ModelConfig& config, int index, LayerConfig& layer,
                  LayerWeights& weights) {
  const std::string prefix = block_name(config, index) + ".";
  const Parts parts(binder, prefix, config, index);
  Dims dims = layer_dims(config, layer);
  LayerTensors tensors;
  for (const TensorRow<LayerTensors>& row : layer_tensors()) {
    if (!parts.has(row.part)) continue;
    const std::string name = prefix + std::string(row.name);
    if (Status status = binder.bind(row, name, dims, tensors); !status.ok()) return status;
  }
  for (const TensorRow<LayerTensors>& row : layer_tensors()) {
    const std::string name = numbered(prefix + std::string(row.name), 0);
    const bool is_twice = row.part == Part::fused_latent_kv && parts.has(Part::split_latent_kv);
    if (binder.has(name) && !binder.is_used(name) && !is_twice)
      return parts.refusal(row.part, name);
  }
  layer.d_ff = static_cast<int32_t>(dims.get(Dim::d_ff));
  layer.d_ff_shared = static_cast<int32_t>(dims.get(Dim::d_ff_shared));
  if (parts.has(Part::direct_query)) layer.d_query_latent = 0;
  if (!parts.has(Part::dense) && !parts.has(Part::shared))
    layer.shared = SharedExpert::none;
  else
    layer.shared = tensors.shared_router ? SharedExpert::sigmoid_gated : SharedExpert::plain;
  split_fused(layer, tensors);
  weights = tensors;
  return {};
}

// Blocks behind the last layer predict further tokens (multi-token prediction); they are not run.
bool is_of_skipped_block(std::string_view name, int64_t n_layers) {
  if (!name.starts_with("blk.")) return false;
  int64_t block = -1;
  std::from_chars(name.data() + 4, name.data() + name.size(), block);
  return block >= n_layers;
}

Status check_factors(const float* factors, int32_t n, const char* name) {
  for (int32_t i = 0; factors && i < n; ++i)
    if (!std::isfinite(factors[i]) || factors[i] <= 0)
      return Status(Cause::numeric, "holds a value that is not positive and finite",
                    "tensor " + std::string(name));
  return {};
}

Status check_rope(const ModelConfig& config, const ModelWeights& weights) {
  const int32_t n = config.rope.n_rot / 2;
  if (config.rope.scaling == RopeScaling::longrope &&
      (!weights.rope_factors_long || !weights.rope_factors_short))
    return Status(Cause::missing, "required by rope.scaling.type longrope and absent",
                  weights.rope_factors_long ? "tensor rope_factors_short.weight"
                                            : "tensor rope_factors_long.weight");
  if (Status s = check_factors(weights.rope_freqs, n, "rope_freqs.weight"); !s.ok()) return s;
  if (Status s = check_factors(weights.rope_factors_long, n, "rope_factors_long.weight"); !s.ok())
    return s;
  return check_factors(weights.rope_factors_short, n, "rope_factors_short.weight");
}

// The name that the final norm has.
Part final_norm_of(const ModelConfig& config, const TensorBinder& binder) {
  if (config.has_encoder()) return Part::two_stacks;
  return !binder.has("output_norm.weight") && binder.has("token_embd_norm.weight")
             ? Part::token_embd_norm
             : Part::output_norm;
}

}  // namespace

Result<ModelWeights> bind_weights(const formats::GgufFile& file, ModelConfig& config,
                                  const TensorMemory* memory) {
  ModelWeights weights;
  TensorBinder binder(file, config.required, memory, weights);
  Dims dims = model_dims(config);
  const Part final_norm = final_norm_of(config, binder);
  const auto has = [&](Part part) {
    return part == Part::always || part == final_norm ||
           (part == Part::layer_norm && config.norm == NormKind::layer);
  };
  for (const TensorRow<ModelWeights>& row : model_tensors()) {
    if (!has(row.part)) continue;
    if (Status s = binder.bind(row, std::string(row.name), dims, weights); !s.ok()) return s;
  }
  config.n_vocab = static_cast<int32_t>(dims.get(Dim::n_vocab));
  config.is_tied = weights.output.weight.data == nullptr;
  if (config.is_tied) weights.output.weight = weights.token_embd;
  if (Status status = check_rope(config, weights); !status.ok()) return status;

  weights.layers.resize(config.layers.size());
  for (int i = 0; i < config.n_layers(); ++i) {
    const auto at = static_cast<size_t>(i);
    Status status = bind_layer(binder, config, i, config.layers[at], weights.layers[at]);
    if (!status.ok()) return status;
  }
  Result<std::vector<std::string>> warnings =
      binder.leftovers(is_of_skipped_block, config.n_layers());
  if (!warnings) return warnings.status();
  weights.warnings = std::move(*warnings);
  return weights;
}

}  // namespace larder::runtime
