// The architectures: one row each. The only place where an architecture has a name; what the file
// itself says (a bias exists, the head is tied, a layer has experts) is read from the file.
#pragma once

#include <span>
#include <string_view>

#include "runtime/model/model_config.h"

namespace larder::runtime {

// Which layers may or must have experts; where_routed: those that have a router's tensor.
enum class Experts : uint8_t { never, optional, required, where_routed };

struct ArchRow {
  std::string_view name;  // general.architecture, and the prefix of its keys
  RequiredTensors required = {};
  Mixer mixer = Mixer::gqa;
  bool has_encoder = false;             // of block_count layers; then decoder_block_count more
  bool has_relative_positions = false;  // biases of distances; nothing rotates
  // Of layers that carry a state; gqa: there are none. They are those without kv heads, or, with a
  // period, all but the last of so many layers, where the file does not say which.
  Mixer carrying_mixer = Mixer::gqa;
  int32_t attention_period = 0;
  KeySharing key_sharing = KeySharing::runs;
  bool gates_output = false;
  RopeLayout rope_layout = RopeLayout::halves;
  // What rope.scaling.yarn_log_multiplier is for: attention's scale, or cos and sin.
  bool yarn_scales_attention = false;
  QkNorm qk_norm = QkNorm::none;
  bool may_lack_qk_norm = false;        // models of both kinds exist
  int32_t experts_without_qk_norm = 0;  // a model of so many has none
  NormKind norm = NormKind::rms;
  std::string_view norm_epsilon_key = "attention.layer_norm_rms_epsilon";
  float attention_scale = 0;      // where attention.scale is absent; 0: d_key^-0.5
  bool scales_tied_head = false;  // a head that is the embedding reads rows times d_model^-0.5
  bool rounds_yarn_bounds = true;
  double longrope_multiplier = 0;  // of cos and sin, where the file has LongRoPE's factors

  WindowKind window = WindowKind::none;
  int32_t window_width = 0;   // where attention.sliding_window is absent; 0: it is required
  int32_t window_period = 0;  // where there is no pattern: of so many layers the last has no window
  bool has_sinks = false;
  bool rotates_all = true;       // else layers that see everything do not rotate
  int32_t temperature_span = 0;  // of layers that do not rotate

  Experts experts = Experts::never;
  std::string_view expert_width_key = "expert_feed_forward_length";
  RouterGate gate = RouterGate::softmax;  // where expert_gating_func is absent
  RouterGate biased_gate = gate;          // the same where experts have selection biases
  bool renormalises = true;               // where expert_weights_norm is absent
  bool weighs_input = false;
  Activation activation = Activation::swiglu;
};

std::span<const ArchRow> arch_rows() noexcept;
// Null if unknown.
const ArchRow* find_arch(std::string_view name) noexcept;

}  // namespace larder::runtime
