// Mixes: which type each tensor of a model gets under a name such as "q4_k_m".
//
// A mix is a base type and rules; the first rule that applies decides. Layers are counted by the
// number in the tensor's name, of all blocks. Source: llama.cpp's quantiser, 2026-08.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "quant/format.h"

namespace larder::runtime {

// What a weight matrix does, as far as mixes ask.
enum class MatrixRole : uint8_t {
  output,     // output.weight; token_embd.weight where it is the output, too
  embedding,  // token_embd.weight of a model with an output of its own
  value,      // attn_v, and what holds it: attn_qkv, attn_kv_b
  key,        // attn_k
  attn_out,   // attn_output
  ffn_down,   // dense, experts' and shared
  experts,    // other stacks of matrices
  other
};

// The layers, or models, that a rule is for.
enum class MixScope : uint8_t {
  all,
  // The first and the last eighth, and every third layer between them.
  more_bits,
  first_sixteenth,
  first_eighth,
  first_eighth_without_importance,
  first_eighth_with_importance,
  first_2,
  first_4,
  grouped_queries,  // 4 query heads or more share a key and value head
  eight_experts,    // exactly
  stacked           // of a stack of matrices
};

struct MixRule {
  MatrixRole role;
  MixScope scope;
  quant::Format format;
};

struct QuantMix {
  std::string_view name;  // "q4_k_m"
  int32_t file_type;      // general.file_type
  quant::Format base;
  std::span<const MixRule> rules;
};

std::span<const QuantMix> quant_mixes() noexcept;
// Upper case or lower; null for none.
const QuantMix* find_mix(std::string_view name) noexcept;
// One format's name, "q4_k" or "Q4_K"; null for none.
const quant::FormatTraits* find_format_named(std::string_view name) noexcept;

// What rules ask of a model.
struct MixModel {
  int64_t n_layers = 0, n_experts = 0;
  int64_t queries_per_kv_head = 1;
  bool has_output = false;  // output.weight
  bool has_importance = false;
};
MixModel mix_model(const formats::GgufFile& file, bool has_importance);

MatrixRole role_of(std::string_view tensor, bool has_output) noexcept;
quant::Format format_in(const QuantMix& mix, const MixModel& model,
                        const formats::GgufTensor& tensor) noexcept;

}  // namespace larder::runtime
