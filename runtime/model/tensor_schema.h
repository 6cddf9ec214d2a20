// The tensors of a model: names, shapes in named dims, when they must be there, and where they go.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "runtime/model/weights.h"

namespace larder::runtime {

// A named size. Those that the metadata do not fix are bound by the first tensor that has them.
enum class Dim : uint8_t {
  one,
  d_model,
  n_vocab,
  n_rot_pairs,
  n_heads,
  d_key,
  q_width,
  q_row_width,  // and gates of the output
  k_width,
  v_width,
  qkv_width,
  mixed_width,  // n_heads * d_value, or n_channels
  n_taps,
  n_channels,
  d_model_thrice,
  n_heads_twice,
  d_value,
  d_unrotated,
  d_latent,
  d_query_latent,
  d_cached_key,  // d_latent + d_rotated
  kv_b_width,    // n_heads * (d_unrotated + d_value)
  d_ff,
  d_ff_twice,  // gate and up in one tensor
  d_ff_shared,
  n_buckets,  // of distances
  n_experts
};
inline constexpr size_t kDims = static_cast<size_t>(Dim::n_experts) + 1;

// What a layer is made of. A row asks for its part; its tensor is refused where the part is absent.
enum class Part : uint8_t {
  always,
  output_norm,
  token_embd_norm,  // the same norm under another name
  two_stacks,       // one norm behind an encoder, one behind a decoder
  layer_norm,       // the additions of norms of this kind
  attention,        // of either kind
  position_bias,
  source,  // attention to what an encoder made of it
  sinks,
  short_convolution,
  delta_net,    // and of it:
  fused_rates,  //   rates and steps in one tensor,
  split_rates,  //   or each in its own
  split_qkv,
  fused_qkv,
  latent,           // latent attention, and of it:
  direct_query,     //   queries from the input,
  latent_query,     //   or from a latent of their own;
  split_latent_kv,  //   the latent's keys and values in tensors of their own,
  fused_latent_kv,  //   or in one
  head_qk_norm,
  row_qk_norm,
  attn_output,
  attn_o,  // the same matrix under another name
  ffn_norm,
  post_attention_norm,  // the same norm under another name
  attn_output_norm,     // and under a third
  routed,               // experts behind a router
  selection_bias,
  expert_tensors,  //   each in tensors of its own, or all in one:
  expert_stacks,
  split_gate_up,
  split_gate,  // of the two, where experts have a gate
  fused_gate_up,
  dense,  // the shared expert under a dense layer's names
  dense_gate,
  shared,  // the shared expert beside routed ones
  shared_gate
};

enum class Presence : uint8_t { required, optional };

// A layer's tensors as files may hold them, before fused ones are cut into rows.
struct LayerTensors : LayerWeights {
  Linear qkv, kv_b;
  ExpertStack gate_up;
};

// Floats that are turned while they are read: [columns][rows].
template <class Owner>
struct ColumnsOf {
  const float* Owner::*of = nullptr;
};

template <class Owner, class T = Linear>
struct BiasOf {
  T Owner::*of = nullptr;
};

// Where a tensor goes. The kind of member says which types are allowed: matrices and stacks any
// that has kernels, floats F32, F16 and BF16.
template <class Owner>
using Slot =
    std::variant<quant::Matrix Owner::*, Linear Owner::*, BiasOf<Owner>, const float * Owner::*,
                 ColumnsOf<Owner>, Norm Owner::*, BiasOf<Owner, Norm>, ExpertStack Owner::*,
                 BiasOf<Owner, ExpertStack>, HeadStack Owner::*>;

template <class Owner>
struct TensorRow {
  // In a layer: behind block_name(); '*' is an expert's number, one tensor each.
  std::string_view name;
  std::array<Dim, 3> shape = {Dim::one, Dim::one, Dim::one};  // ggml order: the input width first
  Slot<Owner> slot;
  Part part = Part::always;
  Presence presence = Presence::required;
  bool RequiredTensors::*required_by = nullptr;  // models that require an optional one
};

// What a layer's tensors are named behind: "blk.3", or "enc.blk.3", "dec.blk.3" in two stacks.
std::string block_name(const ModelConfig& config, int32_t layer);

std::span<const TensorRow<ModelWeights>> model_tensors() noexcept;
std::span<const TensorRow<LayerTensors>> layer_tensors() noexcept;

}  // namespace larder::runtime
