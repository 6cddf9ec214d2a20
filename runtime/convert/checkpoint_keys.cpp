#include "runtime/convert/checkpoint_keys.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "formats/json/json.h"
#include "runtime/model/arch_table.h"

namespace larder::runtime {
namespace {

constexpr int64_t kSigmoidGate = 2, kSoftmaxGate = 1;  // expert_gating_func; source: llama.cpp
constexpr double kSparsemixerJitter = 0.01;            // that the router's code has built in
constexpr const char* kLayerTypes = "layer_types";

struct Keys {
  CheckpointConfig& config;
  KeyWriter& out;
  CheckpointSizes& sizes;
};

void check_values(CheckpointConfig& config) {
  for (const CheckedKey& checked : checked_keys()) {
    const formats::DataValue* const value = config.find(checked.config);
    if (value == nullptr) continue;
    const std::string text = formats::to_json(*value);
    std::string_view allowed = checked.values;
    bool is_allowed = false;
    while (!is_allowed && !allowed.empty()) {
      const size_t bar = allowed.find('|');
      is_allowed = allowed.substr(0, bar) == text;
      allowed = bar == std::string_view::npos ? "" : allowed.substr(bar + 1);
    }
    if (!is_allowed)
      config.refuse(checked.config, "is " + text + "; supported is " + std::string(checked.values));
  }
}

void write_rows(std::span<const KeyRow> rows, Keys& keys) {
  for (const KeyRow& row : rows) {
    bool is_written = true;
    if (row.kind == KeyKind::flag) {
      if (const auto value = keys.config.boolean(row.config)) keys.out.flag(row.key, *value);
    } else if (row.kind == KeyKind::real) {
      if (const auto value = keys.config.real(row.config))
        is_written = keys.out.real(row.key, *value);
    } else if (const auto value = keys.config.same_of_all(row.config)) {
      is_written = keys.out.count(row.key, *value);
    }
    if (!is_written) keys.config.refuse(row.config, "is outside of what a file can hold");
  }
}

int64_t count_or(CheckpointConfig& config, std::string_view key, int64_t fallback) {
  return config.integer(key).value_or(fallback);
}

// Latent attention: a head's widths, and under the plain keys those of the one head that is
// remembered.
void write_latent_widths(Keys& keys) {
  const int64_t rotated = count_or(keys.config, "qk_rope_head_dim", 0);
  const int64_t latent = count_or(keys.config, "kv_lora_rank", 0);
  keys.sizes.d_unrotated = count_or(keys.config, "qk_nope_head_dim", 0);
  keys.sizes.d_value = count_or(keys.config, "v_head_dim", 0);
  keys.config.ignore("qk_head_dim");
  keys.config.ignore("head_dim");
  if (rotated <= 0 || latent <= 0 || keys.sizes.d_unrotated <= 0 || keys.sizes.d_value <= 0)
    return keys.config.refuse("kv_lora_rank", "latent attention lacks its widths");
  if (const auto rank = keys.config.integer("q_lora_rank"))
    keys.out.count("attention.q_lora_rank", *rank);
  keys.out.count("attention.kv_lora_rank", latent);
  keys.out.count("attention.head_count_kv", 1);
  keys.out.count("attention.key_length", latent + rotated);
  keys.out.count("attention.value_length", latent);
  keys.out.count("attention.key_length_mla", keys.sizes.d_unrotated + rotated);
  keys.out.count("attention.value_length_mla", keys.sizes.d_value);
  keys.out.count("rope.dimension_count", rotated);
}

void write_expert_groups(Keys& keys) {
  const std::string method = keys.config.string("topk_method").value_or("noaux_tc");
  if (method == "greedy") {
    keys.out.count("expert_group_count", 1);
    keys.out.count("expert_group_used_count", 1);
  } else if (method != "group_limited_greedy" && method != "noaux_tc") {
    keys.config.refuse("topk_method", "is not supported: " + method);
  }
}

void write_gate(Keys& keys, int64_t fallback) {
  const std::string name =
      keys.config.string("scoring_func|score_function|moe_router_activation_func").value_or("");
  const int64_t gate = name == "softmax"   ? kSoftmaxGate
                       : name == "sigmoid" ? kSigmoidGate
                                           : fallback;
  if (!name.empty() && name != "softmax" && name != "sigmoid" && name != "noaux_tc")
    keys.config.refuse("scoring_func", "is not supported: " + name);
  if (gate != 0) keys.out.count("expert_gating_func", gate);
}

// Layers that do not attend have no key and value heads.
void write_mixed_layers(Keys& keys) {
  std::vector<int64_t> heads;
  for (const std::string& type : keys.config.strings(kLayerTypes)) {
    if (type != "conv" && type != "full_attention")
      return keys.config.refuse(kLayerTypes, "is not supported: " + type);
    heads.push_back(type == "conv" ? 0 : keys.sizes.n_kv_heads);
  }
  if (static_cast<int64_t>(heads.size()) != keys.sizes.n_layers)
    return keys.config.refuse(kLayerTypes, "expected one for each layer");
  keys.config.ignore("full_attn_idxs");
  keys.config.ignore("theta");
  keys.config.ignore("block_auto_adjust_ff_dim");
  keys.out.counts("attention.head_count_kv", heads);
}

// Every so many layers one attends, the last of them.
void write_periodic_layers(Keys& keys) {
  const std::vector<std::string> types = keys.config.strings(kLayerTypes);
  int64_t period = count_or(keys.config, "full_attention_interval", 0);
  for (size_t i = 0; i < types.size() && period == 0; ++i)
    if (types[i] == "full_attention") period = static_cast<int64_t>(i) + 1;
  if (period <= 0) return keys.config.refuse(kLayerTypes, "no layer attends");
  for (size_t i = 0; i < types.size(); ++i)
    if ((types[i] == "full_attention") != ((static_cast<int64_t>(i) + 1) % period == 0))
      return keys.config.refuse(kLayerTypes, "attending layers that do not recur regularly");
  keys.out.count("full_attention_interval", period);
  CheckpointSizes& sizes = keys.sizes;
  sizes.n_key_heads = count_or(keys.config, "linear_num_key_heads", 0);
  sizes.n_value_heads = count_or(keys.config, "linear_num_value_heads", 0);
  sizes.d_key_head = count_or(keys.config, "linear_key_head_dim", 0);
  sizes.d_value_head = count_or(keys.config, "linear_value_head_dim", 0);
  if (sizes.n_key_heads <= 0 || sizes.n_value_heads % sizes.n_key_heads != 0 ||
      sizes.n_value_heads <= 0 || sizes.d_key_head <= 0 || sizes.d_value_head <= 0)
    return keys.config.refuse("linear_num_value_heads", "heads of layers that carry a state");
  keys.out.count("ssm.inner_size", sizes.n_value_heads * sizes.d_value_head);
}

// Layers that rotate see a chunk; every fourth does neither.
void write_chunked_layers(const FamilyRow& family, Keys& keys) {
  constexpr int64_t kPeriod = 4, kSpan = 8192;  // built into the forward pass
  constexpr double kTemperature = 0.1;
  const formats::DataValue* const rotates = keys.config.find("no_rope_layers");
  for (size_t i = 0; rotates != nullptr && i < rotates->list.size(); ++i)
    if ((rotates->list[i].integer != 0) != ((i + 1) % kPeriod != 0))
      keys.config.refuse("no_rope_layers", "expected every fourth layer");
  if (count_or(keys.config, "no_rope_layer_interval", kPeriod) != kPeriod)
    keys.config.refuse("no_rope_layer_interval", "expected 4");
  keys.config.ignore(kLayerTypes);
  keys.out.count("attention.sliding_window", count_or(keys.config, "attention_chunk_size", kSpan));
  if (count_or(keys.config, "floor_scale", kSpan) != kSpan)
    keys.config.refuse("floor_scale", "expected 8192");
  if (keys.config.real("attn_scale").value_or(kTemperature) != kTemperature)
    keys.config.refuse("attn_scale", "expected 0.1");
  const formats::DataValue* const tuning = keys.config.find("attn_temperature_tuning");
  if (tuning != nullptr && !tuning->boolean && tuning->integer == 0)
    keys.config.refuse("attn_temperature_tuning", "expected true");
  const ArchRow* const row = find_arch(family.architecture);
  const bool has_norm = keys.config.boolean("use_qk_norm").value_or(true);
  if (row != nullptr && has_norm != (keys.sizes.n_experts != row->experts_without_qk_norm))
    keys.config.refuse("use_qk_norm", "does not fit the number of experts");
}

// Every other layer has a window, the first one does.
void write_windowed_layers(Keys& keys) {
  const std::vector<std::string> types = keys.config.strings(kLayerTypes);
  for (size_t i = 0; i < types.size(); ++i)
    if ((types[i] == "sliding_attention") != (i % 2 == 0))
      return keys.config.refuse(kLayerTypes, "expected windows in every other layer");
  const auto width = keys.config.integer("sliding_window");
  if (!width) return keys.config.refuse("sliding_window", "expected a number");
  keys.out.count("attention.sliding_window", *width);
}

void check_constant(Keys& keys, const char* key, double expected) {
  const auto value = keys.config.real(key);
  if (value && std::abs(*value - expected) > 1e-6 * expected)
    keys.config.refuse(
        key, "is " + std::to_string(*value) + "; supported is " + std::to_string(expected));
}

// Source of the constants: gpt-oss and Phi-3.5-MoE, which have no keys for them in GGUF.
void run_task(const FamilyRow& family, KeyTask task, Keys& keys) {
  switch (task) {
    case KeyTask::latent_widths:
      return write_latent_widths(keys);
    case KeyTask::expert_groups:
      return write_expert_groups(keys);
    case KeyTask::sigmoid_router:
      return write_gate(keys, kSigmoidGate);
    case KeyTask::mixed_layers:
      return write_mixed_layers(keys);
    case KeyTask::periodic_layers:
      return write_periodic_layers(keys);
    case KeyTask::chunked_layers:
      return write_chunked_layers(family, keys);
    case KeyTask::windowed_layers:
      return write_windowed_layers(keys);
    case KeyTask::clamped_activation:
      check_constant(keys, "swiglu_alpha", 1.702);
      check_constant(keys, "swiglu_limit", 7);
      keys.config.ignore("experts_per_token");
      keys.out.count("expert_feed_forward_length", count_or(keys.config, "intermediate_size", 0));
      return;
    case KeyTask::sparse_mixer:
      return check_constant(keys, "router_jitter_noise", kSparsemixerJitter);
    case KeyTask::merged_shared_width:
    case KeyTask::plain_shared_width: {
      const int64_t n =
          task == KeyTask::plain_shared_width
              ? 1
              : keys.config.same_of_all("moe_num_shared_experts|num_shared_expert").value_or(1);
      const auto width = keys.config.same_of_all("moe_intermediate_size|intermediate_size");
      if (width && n > 0) keys.out.count("expert_shared_feed_forward_length", n * *width);
      return;
    }
    case KeyTask::scaled_base:
    case KeyTask::layer_norm:
    case KeyTask::encoder:
      return;
  }
}

bool has_task(const FamilyRow& family, KeyTask task) {
  return std::find(family.tasks.begin(), family.tasks.end(), task) != family.tasks.end();
}

// Windows in a family whose forward pass knows none must not matter.
void check_windows(const FamilyRow& family, Keys& keys) {
  const ArchRow* const row = find_arch(family.architecture);
  const bool uses = keys.config.boolean("use_sliding_window").value_or(true);
  if (row == nullptr || row->window != WindowKind::none) return;
  bool all_see_everything = true;
  if (!has_task(family, KeyTask::mixed_layers) && !has_task(family, KeyTask::periodic_layers)) {
    const std::vector<std::string> types = keys.config.strings(kLayerTypes);
    for (const std::string& type : types)
      all_see_everything = all_see_everything && type == "full_attention";
    if (!all_see_everything) keys.config.refuse(kLayerTypes, "windows are not supported here");
    if (!types.empty()) return keys.config.ignore("sliding_window");
  }
  const auto width = keys.config.integer("sliding_window");
  if (uses && width && *width > 0 && *width < count_or(keys.config, "max_position_embeddings", 0))
    keys.config.refuse("sliding_window", "windows are not supported in this architecture");
}

void read_sizes(const FamilyRow& family, Keys& keys) {
  CheckpointSizes& sizes = keys.sizes;
  sizes.n_layers = count_or(keys.config, "num_hidden_layers|n_layers|num_layers", 0);
  sizes.n_decoder_layers = count_or(keys.config, "num_decoder_layers", sizes.n_layers);
  sizes.n_heads = count_or(keys.config, "num_attention_heads|n_heads|num_heads", 0);
  sizes.n_kv_heads =
      count_or(keys.config, "attn_config.kv_n_heads|num_key_value_heads", sizes.n_heads);
  sizes.n_experts = keys.config
                        .same_of_all(
                            "num_local_experts|num_experts|n_routed_experts|"
                            "moe_num_experts|ffn_config.moe_num_experts")
                        .value_or(0);
  sizes.is_tied =
      keys.config.boolean("tie_word_embeddings").value_or(has_task(family, KeyTask::encoder));
  if (sizes.n_layers <= 0) keys.config.refuse("num_hidden_layers", "expected a number of layers");
  if (sizes.n_heads <= 0) keys.config.refuse("num_attention_heads", "expected a number of heads");
}

}  // namespace

Result<CheckpointSizes> write_checkpoint_keys(const FamilyRow& family, CheckpointConfig& config,
                                              formats::GgufWriter& gguf) {
  KeyWriter out(gguf, family.architecture);
  CheckpointSizes sizes;
  Keys keys{config, out, sizes};
  for (const std::string_view key : harmless_keys()) config.ignore(key);
  check_values(config);
  read_sizes(family, keys);
  if (!config.status().ok()) return config.status();
  const bool is_encoder = has_task(family, KeyTask::encoder);
  if (is_encoder) {
    out.count("context_length", count_or(config, "n_positions", 512));  // T5's default
    out.count("expert_used_count", 1);
    config.ignore("decoder_sparse_step");
  } else {
    if (count_or(config, "decoder_sparse_step", 1) != 1)
      config.refuse("decoder_sparse_step", "expected 1");
    write_rope_keys(config, family, out);
  }
  if (has_task(family, KeyTask::layer_norm))
    out.real("attention.layer_norm_epsilon", 1e-5);  // PyTorch's default
  for (const KeyTask task : family.tasks) run_task(family, task, keys);
  const int64_t end = count_or(config, "moe_layer_end_index", -1);
  if (end != -1 && end < sizes.n_layers - 1)
    config.refuse("moe_layer_end_index", "dense layers behind those with experts");
  check_windows(family, keys);
  write_gate(keys, 0);
  write_rows(family.keys, keys);
  write_rows(shared_keys(), keys);
  if (!is_encoder && !out.has("attention.key_length")) {
    if (const auto width = config.integer("head_dim")) {
      out.count("attention.key_length", *width);
      out.count("attention.value_length", *width);
    }
  }
  if (!config.status().ok()) return config.status();
  return sizes;
}

}  // namespace larder::runtime
