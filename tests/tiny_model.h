// A whole model of a few kilobytes, field by field, for cases that change one thing in it. Shares
// no code with the readers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/model/model.h"
#include "tests/gguf_builder.h"

namespace larder::tests {

struct TinyShape {
  std::string architecture = "qwen3moe";
  uint32_t n_layers = 2, d_model = 32, n_heads = 4, n_kv_heads = 2, d_head = 16;
  uint32_t n_experts = 4, n_active = 2, d_ff = 32;  // n_experts 0: dense
  bool has_qk_norm = true, has_head = true;
  bool has_biases = false;                            // of projections and the head
  bool has_norm_biases = false;                       // of the norms of the residual stream
  bool has_sinks = false, has_expert_biases = false;  // the latter with the router's
  uint32_t window = 0;                                // 0: no key
  uint32_t n_vocab = 260;                             // at least 256: every byte has a token
};

GgufBuilder tiny_model(const TinyShape& shape = {});
TinyShape tiny_mixtral();
TinyShape tiny_dense();
TinyShape tiny_gpt_oss();
TinyShape tiny_phimoe();
TinyShape tiny_llama4();

// A file's bytes and the model that was made of them.
struct OpenedModel {
  std::unique_ptr<Bytes> bytes;
  Result<std::shared_ptr<const runtime::Model>> model;
};
OpenedModel open_model(const GgufBuilder& builder);

// Deterministic values in [-scale, scale), as float32 bytes.
Bytes random_floats(uint64_t n, uint32_t seed, float scale);
// One float32 inside a tensor's data.
void set_float(RawTensor& tensor, uint64_t index, float value);

}  // namespace larder::tests
