// A model's weights as the forward pass reads them: views into the file. What a file lacks is null,
// and the step that would use it does not exist.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "quant/grouped_matmul.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

// A matrix and what is added to its results; bias may be null.
struct Linear {
  quant::Matrix weight;
  const float* bias = nullptr;  // [weight.n_rows]
};

// Bytes of one of a model's files.
struct FileRange {
  int32_t shard = 0;
  uint64_t offset = 0, size_bytes = 0;
};

// The same matrix of every routed expert, all of one shape and type, each at a place of its own:
// files hold a layer's experts in one tensor or, before 2024-04, each in a tensor of its own.
struct ExpertStack {
  struct Place {
    const uint8_t* data = nullptr;
    uint64_t offset = 0;  // of data in its shard
    int32_t shard = 0;
  };

  quant::Matrix first;          // expert 0
  std::vector<Place> places;    // [n_experts]
  const float* bias = nullptr;  // [n_experts][n_rows], rows bias_stride floats apart; or null
  size_t bias_stride = 0;

  int32_t n_experts() const noexcept { return static_cast<int32_t>(places.size()); }
  size_t bytes() const noexcept { return first.bytes() * places.size(); }
  // An empty stack has matrices without data. REQUIRES of the three: 0 <= expert < n_experts()
  quant::Matrix expert(int32_t index) const noexcept {
    quant::Matrix one = first;
    if (!places.empty()) one.data = places[static_cast<size_t>(index)].data;
    return one;
  }
  // Where the file has that expert's matrix.
  FileRange range(int32_t index) const noexcept {
    if (places.empty()) return {};
    const Place& place = places[static_cast<size_t>(index)];
    return {place.shard, place.offset, first.bytes()};
  }
  // Null without biases.
  const float* bias_of(int32_t index) const noexcept {
    return bias ? bias + bias_stride * static_cast<size_t>(index) : nullptr;
  }
};

// A norm of rows as wide as the model; bias may be null.
struct Norm {
  const float* weight = nullptr;  // [d_model]
  const float* bias = nullptr;    // [d_model]
};

// The same matrix of every head.
struct HeadStack {
  quant::Matrix first;      // head 0
  size_t stride_bytes = 0;  // from head to head

  quant::Matrix head(int32_t index) const noexcept {
    quant::Matrix one = first;
    one.data += stride_bytes * static_cast<size_t>(index);
    return one;
  }
};

struct LayerWeights {
  Norm attn_norm;
  Linear q, k, v, attn_output;
  const float* q_norm = nullptr;  // [d_key] or [q_width]
  const float* k_norm = nullptr;  // [d_key] or [k_width]
  const float* sinks = nullptr;   // [n_heads]

  // Layers that carry a state. What they mix goes through attn_output, too.
  Linear conv_input;                 // short_convolution: two gates and the input, [3 * d_model];
                                     // gated_delta_net: q, k, v, [n_channels]
  const float* conv_taps = nullptr;  // [n_taps][n_channels], the oldest first
  Linear mixed_gate;                 // gated_delta_net: [n_heads * d_value][d_model]
  // One of the two: of each head of keys the rates and then the steps of its heads of values,
  // [2 * n_heads][d_model], or each for itself, [n_heads][d_model].
  Linear rates_and_steps, rates, steps;
  const float* step_bias = nullptr;   // [n_heads]
  const float* step_scale = nullptr;  // [n_heads], below 0
  const float* mixed_norm = nullptr;  // [d_value]

  // Latent attention (mla). q is behind q_a where that is there.
  Linear q_a;                        // [d_query_latent][d_model]
  const float* q_a_norm = nullptr;   // [d_query_latent]
  Linear kv_a;                       // [d_latent + d_rotated][d_model]
  const float* kv_a_norm = nullptr;  // [d_latent]
  // One of the two: of a file's own, or inside attn_kv_b, where it lies the other way around.
  HeadStack k_b;             // [d_latent][d_unrotated]
  HeadStack k_b_transposed;  // [d_unrotated][d_latent]
  HeadStack v_b;             // [d_value][d_latent]

  // Of a stack's first layer, for all of its layers: [n_buckets][n_heads].
  const float* position_bias = nullptr;

  // Attention to an encoded source.
  Norm source_norm;
  Linear source_q, source_k, source_v, source_output;

  Norm ffn_norm;
  const float* router = nullptr;                      // [n_experts][d_model]
  const float* router_bias = nullptr;                 // [n_experts], part of the logits
  const float* selection_bias = nullptr;              // [n_experts], of the choice alone
  ExpertStack gate, up, down;                         // gate is empty where experts have none
  quant::Matrix shared_gate, shared_up, shared_down;  // a dense layer's FFN is here
  const float* shared_router = nullptr;               // [d_model], the shared expert's own gate
};

// Memory that holds tensors of a file.
class TensorMemory {
 public:
  virtual ~TensorMemory() = default;
  // Empty for tensors that it does not hold.
  virtual std::span<const std::byte> bytes(const formats::GgufTensor& tensor) const noexcept = 0;
};

struct ModelWeights {
  quant::Matrix token_embd;        // [n_vocab][d_model]
  Norm encoder_norm, output_norm;  // behind the last layer of each stack
  Linear output;                   // [n_vocab][d_model]; token_embd where tied
  // Divisors of the rotation frequencies, [n_rot / 2].
  const float* rope_freqs = nullptr;
  const float* rope_factors_long = nullptr;
  const float* rope_factors_short = nullptr;
  std::vector<LayerWeights> layers;

  // The tensors that all of the above lies in, but routed experts' matrices.
  std::vector<const formats::GgufTensor*> dense;
  // Vectors that the file does not hold as aligned float32; the pointers above may lead here.
  std::vector<std::unique_ptr<float[]>> converted;
  // Tensors that nothing reads, one sentence each.
  std::vector<std::string> warnings;
};

// Finds every tensor that the configuration asks for, checks presence, type and shape, and fills
// in the widths that only tensors know. Reads no matrix. Errors: `missing`, `shape`, `tensor_type`,
// `hyper_parameter`, `unsupported`, `numeric` (rotation factors), naming the tensor.
// What `memory` holds is found there, all else in the mapped file. What a configuration is filled
// in with stays when it is bound again.
Result<ModelWeights> bind_weights(const formats::GgufFile& file, ModelConfig& config,
                                  const TensorMemory* memory = nullptr);

}  // namespace larder::runtime
