#include "runtime/model/config_reader.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <optional>

#include "runtime/model/arch_keys.h"
#include "runtime/model/arch_table.h"
#include "runtime/model/carrying_reader.h"
#include "runtime/model/rope_reader.h"
#include "runtime/model/tensor_schema.h"
#include "runtime/model/window_reader.h"

namespace larder::runtime {
namespace {

constexpr double kTiny = 1e-6;  // what a divisor must not be below

// The gating functions of expert_gating_func; 0 is the architecture's own. Source: llama.cpp's
// enum, 2026-08.
RouterGate read_gate(ArchKeys& keys, RouterGate fallback) {
  switch (keys.integer("expert_gating_func", {0, 4}, 0)) {
    case 0:
      return fallback;
    case 1:
      return RouterGate::softmax;
    case 2:
      return RouterGate::sigmoid;
    case 3:
      return RouterGate::softmax_selected;
    default:
      keys.refuse("expert_gating_func", "this gating function is not supported");
  }
  return fallback;
}

// A factor; absent and 0 both mean none.
float read_scale(ArchKeys& keys, const char* key, float none) {
  const double scale = keys.real(key, {0, 1 / kTiny}, 0);
  return scale == 0 ? none : static_cast<float>(scale);
}

// Groups of experts; absent, 0 and 1 all mean that there are none.
void read_groups(ArchKeys& keys, RouterConfig& router) {
  const int64_t n_groups = keys.integer("expert_group_count", {0, router.n_experts}, 0);
  router.n_groups = static_cast<int32_t>(std::max<int64_t>(n_groups, 1));
  const int64_t least = router.n_groups > 1 ? 1 : 0;
  const int64_t n_active = keys.integer("expert_group_used_count", {least, router.n_groups}, 1);
  router.n_active_groups = static_cast<int32_t>(std::max<int64_t>(n_active, 1));
  if (router.n_experts % router.n_groups != 0)
    keys.refuse("expert_group_count", "does not divide the number of experts");
  else if (router.n_active > router.n_experts / router.n_groups * router.n_active_groups)
    keys.refuse("expert_group_used_count", "these groups have fewer experts than are to be used");
  // Source: DeepSeek's code for V2 and for V3; no key says which of the two a model follows.
  router.group_score = router.gate == RouterGate::softmax ? GroupScore::max : GroupScore::top2_sum;
}

RouterConfig read_router(ArchKeys& keys, const ArchRow& row, bool has_selection_bias) {
  RouterConfig router;
  const bool required = row.experts == Experts::required || row.experts == Experts::where_routed;
  const int64_t most = row.experts == Experts::never ? 0 : kMaxExperts;
  router.n_experts = keys.integer("expert_count", {required ? 1 : 0, most},
                                  required ? std::nullopt : std::optional<int64_t>(0));
  if (router.n_experts == 0) return router;
  router.n_active = keys.integer("expert_used_count", {1, router.n_experts});
  router.gate = read_gate(keys, has_selection_bias ? row.biased_gate : row.gate);
  if (router.gate == RouterGate::sparsemixer && router.n_active != kSparsemixerExperts)
    keys.refuse("expert_used_count", "must be 2 for this router");
  router.renormalises = keys.boolean("expert_weights_norm", row.renormalises);
  router.weighs_input = row.weighs_input;
  router.scale = read_scale(keys, "expert_weights_scale", 1);
  read_groups(keys, router);
  if (router.gate == RouterGate::sparsemixer && router.n_groups > 1)
    keys.refuse("expert_group_count", "this router knows no groups");
  return router;
}

// Source of the limits: the logarithm of T5's buckets, which begins at half of the buckets of one
// direction, must have a base above 1; of an encoder's buckets each direction has half.
RelativePositions read_relative_positions(ArchKeys& keys, const ArchRow& row,
                                          const std::vector<int32_t>& n_heads) {
  RelativePositions relative;
  if (!row.has_relative_positions) return relative;
  relative.n_buckets =
      static_cast<int32_t>(keys.integer("attention.relative_buckets_count", {4, kMaxBuckets}));
  relative.max_distance = static_cast<int32_t>(
      keys.integer("attention.relative_max_distance", {relative.n_buckets / 2 + 1, kMaxContext}));
  for (const int32_t n : n_heads)
    if (n != n_heads[0])
      keys.refuse("attention.head_count", "differs between layers that share their biases");
  return relative;
}

int32_t read_head_width(ArchKeys& keys, const char* key, int32_t d_model, int32_t n_heads) {
  const bool divides = n_heads > 0 && d_model % n_heads == 0;
  if (!divides && !keys.has(key))
    keys.refuse("attention.head_count",
                "does not divide embedding_length, and there is no " + std::string(key));
  const int32_t width = keys.integer(key, {2, kMaxHeadDim}, divides ? d_model / n_heads : 2);
  if (width % 2 != 0) keys.refuse(keys.has(key) ? key : "attention.head_count", "odd head width");
  return width;
}

// Latent attention's part of all layers. Files from before 2025-04 have a head's widths under the
// plain keys, later ones there those of the one head that is remembered.
struct LatentWidths {
  LatentWidths(ArchKeys& keys, const ArchRow& row) {
    if (row.mixer != Mixer::mla) return;
    d_latent = static_cast<int32_t>(keys.integer("attention.kv_lora_rank", {1, kMaxHeadDim}));
    d_query_latent =
        static_cast<int32_t>(keys.integer("attention.q_lora_rank", {0, kMaxHeadDim}, 0));
    if (keys.has("attention.key_length_mla")) key_length = "attention.key_length_mla";
    if (keys.has("attention.value_length_mla")) value_length = "attention.value_length_mla";
  }
  int32_t d_latent = 0, d_query_latent = 0;
  const char* key_length = "attention.key_length";
  const char* value_length = "attention.value_length";
};

// Attention's part of a layer.
struct HeadCounts {
  std::vector<int32_t> n_heads, n_kv_heads;
};

// No kv heads: the layer carries a state.
HeadCounts read_heads(ArchKeys& keys, const ArchRow& row, int32_t n_blocks) {
  HeadCounts heads;
  const int64_t least = row.carrying_mixer == Mixer::gqa ? 1 : 0;
  heads.n_heads = keys.per_layer("attention.head_count", {1, kMaxHeads}, n_blocks);
  heads.n_kv_heads = keys.has("attention.head_count_kv")
                         ? keys.per_layer("attention.head_count_kv", {least, kMaxHeads}, n_blocks)
                         : heads.n_heads;
  for (size_t i = 0; i < heads.n_heads.size(); ++i)
    if (heads.n_kv_heads[i] > 0 && heads.n_heads[i] % heads.n_kv_heads[i] != 0)
      keys.refuse("attention.head_count_kv", "does not divide the number of heads");
  return heads;
}

// The number of the tokenizer's entries, 0 without any. The key vocab_size, where there is one,
// must agree with it.
Result<int32_t> read_vocabulary(const formats::GgufFile& file, ArchKeys& keys,
                                const std::string& name) {
  if (!file.find("tokenizer.ggml.tokens")) return 0;
  const Result<formats::GgufArray> tokens = file.array("tokenizer.ggml.tokens");
  if (!tokens) return tokens.status();
  const auto n_tokens = static_cast<int64_t>(tokens->size());
  const int64_t n_vocab = keys.integer("vocab_size", {1, INT32_MAX}, n_tokens);
  if (n_vocab == n_tokens || !keys.status().ok()) return static_cast<int32_t>(n_vocab);
  return Status(Cause::vocabulary,
                "is " + std::to_string(n_vocab) + ", but tokenizer.ggml.tokens has " +
                    std::to_string(n_tokens) + " entries",
                "key " + name + ".vocab_size", file.find(name + ".vocab_size")->offset());
}

struct Blocks {
  int32_t n = 0;
  bool have_selection_bias = false;
  std::vector<bool> have_router;  // [n]
};

// Everything of a model's layers, each value read once for all of them.
struct LayerKeys {
  LayerKeys(ArchKeys& keys, const ArchRow& row, const Blocks& blocks, int32_t d_model)
      : row(row),
        blocks(blocks),
        mixer(row.mixer),
        latent(keys, row),
        heads(read_heads(keys, row, blocks.n)),
        carrying(keys, row, heads.n_kv_heads, d_model),
        dense_widths(keys.per_layer(
            "feed_forward_length", {1, kMaxWidth}, blocks.n,
            row.experts == Experts::required ? std::optional<int64_t>(0) : std::nullopt)),
        expert_widths(keys.per_layer(row.expert_width_key, {1, kMaxWidth}, blocks.n, 0)),
        router(read_router(keys, row, blocks.have_selection_bias)),
        windows(read_windows(keys, row, blocks.n)),
        n_dense(static_cast<int32_t>(keys.integer("leading_dense_block_count", {0, blocks.n}, 0))),
        moe_step(
            static_cast<int32_t>(keys.integer("interleave_moe_layer_step", {1, kMaxLayers}, 1))),
        d_key(read_head_width(keys, latent.key_length, d_model, heads.n_heads[0])),
        d_value(read_head_width(keys, latent.value_length, d_model, heads.n_heads[0])) {
    const int64_t n_shared = keys.integer("expert_shared_count", {0, kMaxExperts}, 0);
    const int64_t d_shared = keys.integer("expert_shared_feed_forward_length", {0, kMaxWidth}, 0);
    shares = n_shared > 0 || d_shared > 0;
    attention_scale = read_scale(
        keys, "attention.scale",
        row.attention_scale > 0 ? row.attention_scale
                                : static_cast<float>(1 / std::sqrt(static_cast<double>(d_key))));
    qkv_limit = read_scale(keys, "attention.clamp_kqv", 0);
    if (mixer == Mixer::mla && qkv_limit != 0)
      keys.refuse("attention.clamp_kqv", "is not supported for latent attention");
  }

  LayerConfig layer(int32_t index) const {
    const auto at = static_cast<size_t>(index);
    LayerConfig layer = carrying.is_carrying[at] ? carrying.layer : attention(at);
    layer.activation = row.activation;
    layer.rotates =
        !row.has_relative_positions && (row.rotates_all || layer.is_windowed || !windows.has_any());
    if (!layer.rotates) layer.temperature_span = row.temperature_span;
    const bool may_route = row.experts != Experts::where_routed || blocks.have_router[at];
    if (may_route && index >= n_dense && (index + 1) % moe_step == 0) layer.router = router;
    if (layer.is_moe())
      layer.d_ff = expert_widths[at];
    else
      layer.d_ff_shared = dense_widths[at];
    layer.shared = layer.is_moe() && !shares ? SharedExpert::none : SharedExpert::plain;
    return layer;
  }

  LayerConfig attention(size_t at) const {
    LayerConfig layer;
    layer.n_heads = heads.n_heads[at];
    layer.n_kv_heads = mixer == Mixer::mla ? 1 : heads.n_kv_heads[at];
    layer.d_key = d_key;
    layer.d_value = d_value;
    layer.mixer = mixer;
    layer.d_latent = latent.d_latent;
    layer.d_query_latent = latent.d_query_latent;
    layer.attention_scale = attention_scale;
    layer.gates_output = row.gates_output;
    layer.qkv_limit = qkv_limit;
    layer.is_windowed = windows.is_windowed[at];
    layer.has_sinks = row.has_sinks;
    layer.rotates = row.rotates_all || layer.is_windowed || !windows.has_any();
    if (!layer.rotates) layer.temperature_span = row.temperature_span;
    return layer;
  }

  const ArchRow& row;
  const Blocks& blocks;
  Mixer mixer;
  LatentWidths latent;
  HeadCounts heads;
  CarryingLayers carrying;
  std::vector<int32_t> dense_widths, expert_widths;
  RouterConfig router;
  LayerWindows windows;
  int32_t n_dense, moe_step, d_key, d_value;
  bool shares = false;
  float attention_scale = 1, qkv_limit = 0;
};

// Files may give windowed layers widths and a base of their own; only those of every layer are
// supported.
void check_windowed_keys(ArchKeys& keys, const LayerKeys& layers, const RopeConfig& rope) {
  if (!layers.windows.has_any()) return;
  const std::pair<const char*, int32_t> widths[] = {
      {"rope.dimension_count_swa", rope.n_rot},
      {"attention.key_length_swa", layers.d_key},
      {"attention.value_length_swa", layers.d_value},
  };
  for (const auto& [key, width] : widths)
    if (keys.integer(key, {1, kMaxHeadDim}, width) != width)
      keys.refuse(key, "layers with a window and a width of their own are not supported");
  if (keys.real("rope.freq_base_swa", {1, FLT_MAX}, rope.base) != rope.base)
    keys.refuse("rope.freq_base_swa",
                "layers with a window that rotate by a base of their own are not supported");
}

bool has_longrope(const formats::GgufFile& file) {
  return file.find_tensor("rope_factors_long.weight") ||
         file.find_tensor("rope_factors_short.weight");
}

bool has_tensor(const formats::GgufFile& file, const ModelConfig& config, int32_t layer,
                const char* name) {
  return file.find_tensor(block_name(config, layer) + "." + name) != nullptr;
}

// REQUIRES: config.n_encoder_layers is read.
Blocks find_blocks(const formats::GgufFile& file, const ModelConfig& config, int32_t n_blocks,
                   int32_t n_layers) {
  Blocks blocks;
  blocks.n = n_blocks;
  blocks.have_selection_bias = has_tensor(file, config, n_layers - 1, "exp_probs_b.bias");
  for (int32_t i = 0; i < n_blocks; ++i)
    blocks.have_router.push_back(has_tensor(file, config, i, "ffn_gate_inp.weight"));
  return blocks;
}

// The layers of both stacks.
int32_t read_block_count(ArchKeys& keys, const ArchRow& row, ModelConfig& config) {
  const auto n = static_cast<int32_t>(keys.integer("block_count", {1, kMaxLayers}));
  if (!row.has_encoder) return n;
  config.n_encoder_layers = n;
  return n + static_cast<int32_t>(keys.integer("decoder_block_count", {1, kMaxLayers}, n));
}

}  // namespace

Result<const ArchRow*> read_architecture(const formats::GgufFile& file) {
  constexpr size_t kShown = 64;  // characters of an unknown name in a message
  const formats::GgufValue* value = file.find("general.architecture");
  if (!value)
    return Status(Cause::architecture, "absent: this file is no model", "key general.architecture");
  const Result<std::string_view> name = value->to_string();
  if (!name)
    return Status(Cause::architecture, "must be a string", "key general.architecture",
                  value->offset());
  if (const ArchRow* row = find_arch(*name)) return row;
  std::string shown;
  for (const char c : name->substr(0, kShown)) shown += c >= ' ' && c <= '~' ? c : '?';
  std::string known;
  for (const ArchRow& row : arch_rows())
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  return Status(Cause::architecture, "'" + shown + "' is not supported; supported are " + known,
                "key general.architecture", value->offset());
}

Result<ModelConfig> read_config(const formats::GgufFile& file, const ArchRow& row) {
  ArchKeys keys(file, row.name);
  ModelConfig config;
  config.architecture = row.name;
  const int32_t n_blocks = read_block_count(keys, row, config);
  const auto n_skipped = static_cast<int32_t>(
      keys.integer("nextn_predict_layers", {0, row.has_encoder ? 0 : n_blocks - 1}, 0));
  config.d_model = static_cast<int32_t>(keys.integer("embedding_length", {2, kMaxWidth}));
  config.context_length =
      static_cast<int32_t>(std::min(keys.integer("context_length", {1, INT64_MAX}), kMaxContext));
  config.norm = row.norm;
  config.required = row.required;
  config.norm_epsilon = static_cast<float>(keys.real(row.norm_epsilon_key, {0, 1}));
  config.embedding_scale = read_scale(keys, "embedding_scale", 1);
  config.residual_scale = read_scale(keys, "residual_scale", 1);
  const bool scales_head = row.scales_tied_head && !file.find_tensor("output.weight");
  config.logit_divisor = read_scale(
      keys, "logit_scale", scales_head ? std::sqrt(static_cast<float>(config.d_model)) : 1.0f);
  const int32_t n_layers = n_blocks - n_skipped;
  const Blocks blocks = find_blocks(file, config, n_blocks, n_layers);
  const LayerKeys layers(keys, row, blocks, config.d_model);
  config.relative = read_relative_positions(keys, row, layers.heads.n_heads);
  config.window = layers.windows.window;
  config.rope = read_rope(keys, row, layers.d_key, config.context_length, has_longrope(file));
  check_windowed_keys(keys, layers, config.rope);
  const double sharpening = read_yarn_sharpening(keys, row, config.rope);
  const Result<int32_t> n_vocab = read_vocabulary(file, keys, config.architecture);
  if (config.has_encoder() && n_vocab)
    config.decoder_start = static_cast<int32_t>(
        keys.integer("decoder_start_token_id", {0, std::max(*n_vocab - 1, 0)}));
  if (!keys.status().ok()) return keys.status();
  if (!n_vocab) return n_vocab.status();
  config.n_vocab = *n_vocab;

  for (int32_t i = 0; i < n_layers; ++i) {
    LayerConfig layer = layers.layer(i);
    const bool has_none =
        row.qk_norm == QkNorm::unit_after_rope
            ? !layer.rotates || layers.router.n_experts == row.experts_without_qk_norm
            : row.may_lack_qk_norm && !has_tensor(file, config, i, "attn_q_norm.weight");
    layer.qk_norm = has_none || layer.carries_state() ? QkNorm::none : row.qk_norm;
    if (layer.mixer == Mixer::mla) layer.d_rotated = config.rope.n_rot;
    layer.attention_scale = static_cast<float>(sharpening * layer.attention_scale);
    layer.sees_ahead = i < config.n_encoder_layers;
    layer.attends_source = config.has_encoder() && !layer.sees_ahead;
    config.layers.push_back(layer);
  }
  return config;
}

}  // namespace larder::runtime
