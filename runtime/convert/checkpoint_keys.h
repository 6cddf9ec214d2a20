// config.json to GGUF metadata, by the rows of family_table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf/gguf_writer.h"
#include "formats/status.h"
#include "runtime/convert/checkpoint_config.h"
#include "runtime/convert/family_table.h"
#include "runtime/convert/key_writer.h"

namespace larder::runtime {

// The sizes that recipes of tensors need. 0: the model has no such thing.
struct CheckpointSizes {
  int64_t n_layers = 0, n_decoder_layers = 0;
  int64_t n_heads = 0, n_kv_heads = 0, n_experts = 0;
  int64_t d_unrotated = 0, d_value = 0;        // of latent attention's heads
  int64_t n_key_heads = 0, n_value_heads = 0;  // of the gated delta rule
  int64_t d_key_head = 0, d_value_head = 0;
  bool is_tied = false;
};

// Errors: `hyper_parameter` with the key of config.json whose value is not supported.
Result<CheckpointSizes> write_checkpoint_keys(const FamilyRow& family, CheckpointConfig& config,
                                              formats::GgufWriter& out);

// Rope's part: base, width and scaling.
void write_rope_keys(CheckpointConfig& config, const FamilyRow& family, KeyWriter& out);

// What rope's frequencies are divided by, as files have it in tensors.
struct RopeFactors {
  std::string name;  // of the tensor
  std::vector<float> values;
};
std::vector<RopeFactors> rope_factors(CheckpointConfig& config);

}  // namespace larder::runtime
