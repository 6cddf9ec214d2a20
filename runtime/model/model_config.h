// What a model is, in numbers and behaviours: no architecture's name, no file. A behaviour that is
// not listed here does not exist in the forward pass; a file that asks for it does not open.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace larder::runtime {

// Limits of what a file may ask for. Tables and buffers follow the file below them.
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxExperts = 4096;
inline constexpr int64_t kMaxWidth = int64_t{1} << 20;    // d_model, d_ff
inline constexpr int64_t kMaxHeads = int64_t{1} << 14;    // of one layer
inline constexpr int64_t kMaxHeadDim = int64_t{1} << 14;  // d_key, d_value
inline constexpr int64_t kMaxBuckets = int64_t{1} << 16;  // of relative positions
inline constexpr int64_t kMaxTaps = 16;                   // of a convolution
inline constexpr int64_t kMaxContext = int64_t{1} << 30;  // longer claims are cut to this

// The norms of the residual stream: root mean square, or LayerNorm. A bias is added where the file
// has one.
enum class NormKind : uint8_t { rms, layer };

// What turns a layer's normed rows into its first branch.
// gqa: grouped-query attention; mla: every head reads one latent and one rotated key of a position.
// Two carry a state from position to position instead of remembering each. short_convolution: a
// gated convolution over the last few; gated_delta_net: such a convolution, and behind it a matrix
// a head that forgets, and learns each position's value under its key.
enum class Mixer : uint8_t { gqa, mla, short_convolution, gated_delta_net };

// Which head of keys and queries a head of values of a delta net reads, where there are fewer: each
// serves a run of neighbours, or they take turns.
enum class KeySharing : uint8_t { runs, turns };

// RMS norms inside attention: none; of each head of q and k, before rotation; of the whole
// projected q and k row, before rotation; of each head, after rotation; the same without weights.
enum class QkNorm : uint8_t {
  none,
  head_before_rope,
  row_before_rope,
  head_after_rope,
  unit_after_rope
};

// Tensors that are used wherever a file has them, and that this model was trained with: without one
// of these its file is not whole.
struct RequiredTensors {
  bool qkv_bias = false, attn_output_bias = false;
  bool norm_bias = false, head_bias = false;
  bool router_bias = false, expert_bias = false;
  bool selection_bias = false;
  bool shared_gate = false;  // of the shared expert
};

// Which dims rotate together: (2i, 2i + 1), or (i, i + n_rot / 2).
enum class RopeLayout : uint8_t { adjacent, halves };

// Which earlier positions a query of a windowed layer sees: all; those less than `width` away; or
// those of its own run, of the runs of `width` that the sequence is cut into.
enum class WindowKind : uint8_t { none, sliding, chunked };

struct Window {
  WindowKind kind = WindowKind::none;
  int32_t width = 0;

  int32_t first_visible(int32_t position) const noexcept {
    if (kind == WindowKind::sliding) return position < width ? 0 : position - width + 1;
    return kind == WindowKind::chunked ? position - position % width : 0;
  }
  int32_t n_visible(int32_t position) const noexcept {
    return position - first_visible(position) + 1;
  }
};

enum class RopeScaling : uint8_t { none, linear, yarn, longrope };

struct RopeConfig {
  RopeLayout layout = RopeLayout::halves;
  RopeScaling scaling = RopeScaling::none;
  int32_t n_rot = 0;  // even; the first dims of each head (mla: the last), the rest pass through
  double base = 10000;
  double factor = 1;            // linear, yarn: positions are stretched by it
  double original_context = 0;  // yarn, longrope: what the model was first trained on
  double beta_fast = 32;        // yarn: rotations over original_context above which nothing is
  double beta_slow = 1;         //       stretched, and below which all is
  bool rounds_yarn_bounds = true;
  double multiplier = 1;  // of cos and sin
};

// How router logits become probabilities: over all experts, each by itself, (softmax_selected) over
// the logits of the chosen experts, (sigmoid_selected) each by itself behind a choice by logits, or
// (sparsemixer) each of two over the experts near to it.
enum class RouterGate : uint8_t {
  softmax,
  sigmoid,
  softmax_selected,
  sigmoid_selected,
  sparsemixer
};

inline constexpr int32_t kSparsemixerExperts = 2;  // what that gate chooses

// What a group of experts is chosen by: the sum of its two best scores, or its best.
enum class GroupScore : uint8_t { top2_sum, max };

struct RouterConfig {
  RouterGate gate = RouterGate::softmax;
  GroupScore group_score = GroupScore::top2_sum;
  int32_t n_experts = 0;  // 0: the layer has no router
  int32_t n_active = 0;
  int32_t n_groups = 1;  // equal runs of neighbouring experts
  int32_t n_active_groups = 1;
  bool renormalises = true;   // weights of the chosen sum to one
  float scale = 1;            // of the weights, last
  bool weighs_input = false;  // weights multiply what experts read, not what they answer
};

// Of gate and up: silu(gate) * up, or gpt-oss's form with both cut to a limit; of up alone, in
// experts without a gate: max(up, 0).
enum class Activation : uint8_t { swiglu, swiglu_clamped, relu };

constexpr bool is_gated(Activation activation) noexcept { return activation != Activation::relu; }

// Biases of attention's scores by the distance between key and query. Distances that share a bucket
// share a bias; from max_distance on all do. Source: T5 (arXiv 1910.10683).
struct RelativePositions {
  int32_t n_buckets = 0;  // 0: scores have no biases
  int32_t max_distance = 0;
};

// The expert that every token takes: none, added as it is, or times the sigmoid of its own gate.
enum class SharedExpert : uint8_t { none, plain, sigmoid_gated };

// A dense layer has no routed experts and one expert that every token takes.
struct LayerConfig {
  Mixer mixer = Mixer::gqa;
  int32_t n_heads = 0, n_kv_heads = 0;  // gated_delta_net: of values, and none
  int32_t d_key = 0, d_value = 0;
  int32_t d_latent = 0;        // mla: what is remembered of a position, beside its rotated key
  int32_t d_rotated = 0;       // mla: dims of d_key that rotate, the last ones
  int32_t d_query_latent = 0;  // mla: queries pass through so many values; 0: they do not
  int32_t n_taps = 0, n_channels = 0;  // of the convolution of mixers that carry a state
  int32_t n_key_heads = 0;             // gated_delta_net: heads of keys and of queries
  KeySharing key_sharing = KeySharing::runs;
  QkNorm qk_norm = QkNorm::none;
  float attention_scale = 1;
  bool rotates = true;  // else q and k know no positions
  // Queries are multiplied by 1 + 0.1 ln(1 + n) behind n whole spans of the sequence; 0: not.
  int32_t temperature_span = 0;
  bool gates_output = false;  // gqa: behind each query comes a gate of what its head mixed
  float qkv_limit = 0;        // projections are cut to +-limit; 0: not
  bool is_windowed = false;   // sees what the model's window shows; else every earlier position
  bool has_sinks = false;     // a logit a head that takes its share of attention and adds no value
  bool sees_ahead = false;    // an encoder's layer: sees its whole source, before and behind
  bool attends_source = false;  // a decoder's layer behind an encoder: sees the encoded source, too
  RouterConfig router;
  SharedExpert shared = SharedExpert::none;
  Activation activation = Activation::swiglu;
  int32_t d_ff = 0;         // of each routed expert
  int32_t d_ff_shared = 0;  // of the expert that every token takes; 0: none

  bool is_moe() const noexcept { return router.n_experts > 0; }
  bool carries_state() const noexcept {
    return mixer == Mixer::short_convolution || mixer == Mixer::gated_delta_net;
  }
  int32_t q_width() const noexcept { return n_heads * d_key; }
  // From query to query in a projected row, and all of it.
  int32_t q_stride() const noexcept { return gates_output ? 2 * d_key : d_key; }
  int32_t q_row_width() const noexcept { return n_heads * q_stride(); }
  int32_t k_width() const noexcept { return n_kv_heads * d_key; }
  int32_t v_width() const noexcept { return n_kv_heads * d_value; }
  int32_t mixed_width() const noexcept {
    return mixer == Mixer::short_convolution ? n_channels : n_heads * d_value;
  }
  // Of gated_delta_net: keys, or queries, of all heads.
  int32_t delta_key_width() const noexcept { return n_key_heads * d_key; }
  // REQUIRES: 0 <= head < n_heads
  int32_t key_head_of(int32_t head) const noexcept {
    return key_sharing == KeySharing::runs ? head / (n_heads / n_key_heads) : head % n_key_heads;
  }
  int32_t d_unrotated() const noexcept { return d_key - d_rotated; }  // mla

  // What one kv head's attention multiplies with. In mla a cached value is the front of its key.
  int32_t d_cached_key() const noexcept {
    return mixer == Mixer::mla ? d_latent + d_rotated : d_key;
  }
  int32_t d_cached_value() const noexcept { return mixer == Mixer::mla ? d_latent : d_value; }
};

// Neighbouring layers [first, end) that rows go through.
struct LayerRange {
  int32_t first = 0, end = 0;
};

struct ModelConfig {
  std::string architecture;  // for people; nothing is decided by it
  int32_t d_model = 0, n_vocab = 0;
  int32_t context_length = 0;  // trained; what is allocated is the caller's choice
  NormKind norm = NormKind::rms;
  float norm_epsilon = 0;
  RequiredTensors required;
  RopeConfig rope;
  Window window;              // of the layers that have one
  float embedding_scale = 1;  // of the embedded rows
  float residual_scale = 1;   // of each branch before it is added
  float logit_divisor = 1;
  bool is_tied = false;             // the head is the embedding
  RelativePositions relative;       // of every layer
  std::vector<LayerConfig> layers;  // an encoder's, where there is one, and then the decoder's
  int32_t n_encoder_layers = 0;     // 0: the model is a decoder alone
  int32_t decoder_start = -1;       // behind an encoder: the token before the first of an answer

  int32_t n_layers() const noexcept { return static_cast<int32_t>(layers.size()); }
  bool has_encoder() const noexcept { return n_encoder_layers > 0; }
  LayerRange encoder() const noexcept { return {0, n_encoder_layers}; }
  LayerRange decoder() const noexcept { return {n_encoder_layers, n_layers()}; }
};

}  // namespace larder::runtime
