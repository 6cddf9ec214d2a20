#include "runtime/convert/quant_mix.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufTensor;
using quant::Format;

using enum MatrixRole;
using enum MixScope;

constexpr MixRule kOutput = {output, all, Format::q6_k};
// Where eight large experts share a layer, attention is small beside them.
constexpr MixRule kFewExpertsKey = {key, eight_experts, Format::q8_0};
constexpr MixRule kFewExpertsValue = {value, eight_experts, Format::q8_0};
constexpr MixRule kFewExpertsOut = {attn_out, eight_experts, Format::q5_k};

constexpr MixRule kPlainRules[] = {kOutput, kFewExpertsKey, kFewExpertsValue};
constexpr MixRule kQ4_0Rules[] = {kOutput,
                                  kFewExpertsKey,
                                  kFewExpertsValue,
                                  {ffn_down, first_eighth_with_importance, Format::q4_1}};
constexpr MixRule kQ5_0Rules[] = {kOutput,
                                  kFewExpertsKey,
                                  kFewExpertsValue,
                                  {ffn_down, first_eighth_with_importance, Format::q5_1}};
constexpr MixRule kQ2_KRules[] = {kOutput,
                                  kFewExpertsKey,
                                  kFewExpertsValue,
                                  kFewExpertsOut,
                                  {value, grouped_queries, Format::q4_k},
                                  {value, all, Format::q3_k},
                                  {ffn_down, all, Format::q3_k},
                                  {attn_out, all, Format::q3_k}};
constexpr MixRule kQ3_K_SRules[] = {kOutput, kFewExpertsKey, kFewExpertsValue, kFewExpertsOut};
constexpr MixRule kQ3_K_MRules[] = {kOutput,
                                    kFewExpertsKey,
                                    kFewExpertsValue,
                                    kFewExpertsOut,
                                    {value, first_2, Format::q5_k},
                                    {value, all, Format::q4_k},
                                    {ffn_down, first_sixteenth, Format::q5_k},
                                    {ffn_down, all, Format::q4_k},
                                    {attn_out, all, Format::q4_k}};
constexpr MixRule kQ3_K_LRules[] = {kOutput,
                                    kFewExpertsKey,
                                    kFewExpertsValue,
                                    {attn_out, eight_experts, Format::q3_k},
                                    {value, all, Format::q5_k},
                                    {ffn_down, all, Format::q5_k},
                                    {attn_out, all, Format::q5_k}};
constexpr MixRule kQ4_K_SRules[] = {kOutput,
                                    kFewExpertsKey,
                                    kFewExpertsValue,
                                    kFewExpertsOut,
                                    {value, first_4, Format::q5_k},
                                    {ffn_down, first_eighth, Format::q5_k}};
constexpr MixRule kQ4_K_MRules[] = {kOutput,
                                    kFewExpertsKey,
                                    kFewExpertsValue,
                                    kFewExpertsOut,
                                    {value, more_bits, Format::q6_k},
                                    {ffn_down, more_bits, Format::q6_k}};
constexpr MixRule kQ5_K_SRules[] = {kOutput, kFewExpertsKey, kFewExpertsValue};
constexpr MixRule kQ5_K_MRules[] = {kOutput,
                                    kFewExpertsKey,
                                    kFewExpertsValue,
                                    {value, more_bits, Format::q6_k},
                                    {ffn_down, more_bits, Format::q6_k}};
constexpr MixRule kIq4Rules[] = {kOutput,
                                 kFewExpertsKey,
                                 kFewExpertsValue,
                                 kFewExpertsOut,
                                 {value, grouped_queries, Format::q5_k},
                                 {ffn_down, first_eighth_without_importance, Format::q5_k}};
constexpr MixRule kMxfp4Rules[] = {{ffn_down, stacked, Format::mxfp4},
                                   {experts, stacked, Format::mxfp4}};

// Ids. Source: llama.cpp's file types, 2026-08.
constexpr std::array kMixes = {
    QuantMix{"f32", 0, Format::f32, {}},
    QuantMix{"f16", 1, Format::f16, {}},
    QuantMix{"bf16", 32, Format::bf16, {}},
    QuantMix{"q8_0", 7, Format::q8_0, {}},
    QuantMix{"q6_k", 18, Format::q6_k, kPlainRules},
    QuantMix{"q5_k_m", 17, Format::q5_k, kQ5_K_MRules},
    QuantMix{"q5_k_s", 16, Format::q5_k, kQ5_K_SRules},
    QuantMix{"q4_k_m", 15, Format::q4_k, kQ4_K_MRules},
    QuantMix{"q4_k_s", 14, Format::q4_k, kQ4_K_SRules},
    QuantMix{"q5_1", 9, Format::q5_1, kPlainRules},
    QuantMix{"q5_0", 8, Format::q5_0, kQ5_0Rules},
    QuantMix{"q4_1", 3, Format::q4_1, kPlainRules},
    QuantMix{"q4_0", 2, Format::q4_0, kQ4_0Rules},
    QuantMix{"iq4_nl", 25, Format::iq4_nl, kIq4Rules},
    QuantMix{"iq4_xs", 30, Format::iq4_xs, kIq4Rules},
    QuantMix{"mxfp4_moe", 38, Format::q8_0, kMxfp4Rules},
    QuantMix{"q3_k_l", 13, Format::q3_k, kQ3_K_LRules},
    QuantMix{"q3_k_m", 12, Format::q3_k, kQ3_K_MRules},
    QuantMix{"q3_k_s", 11, Format::q3_k, kQ3_K_SRules},
    QuantMix{"q2_k", 10, Format::q2_k, kQ2_KRules},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// "blk.12.ffn_down.weight", and the like: 12.
std::optional<int64_t> layer_of(std::string_view tensor) {
  const size_t at = tensor.find("blk.");
  if (at == std::string_view::npos) return std::nullopt;
  int64_t layer = 0;
  const char* const first = tensor.data() + at + 4;
  const auto result = std::from_chars(first, tensor.data() + tensor.size(), layer);
  if (result.ec != std::errc() || result.ptr == first) return std::nullopt;
  return layer;
}

bool is_more_bits(int64_t layer, int64_t n) {
  return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

bool is_in_scope(MixScope scope, const MixModel& model, const GgufTensor& tensor) {
  const int64_t n = model.n_layers, layer = layer_of(tensor.name).value_or(n);
  switch (scope) {
    case all:
      return true;
    case more_bits:
      return layer < n && is_more_bits(layer, n);
    case first_sixteenth:
      return layer < n / 16;
    case first_eighth:
      return layer < n / 8;
    case first_eighth_without_importance:
      return !model.has_importance && layer < n / 8;
    case first_eighth_with_importance:
      return model.has_importance && layer < n / 8;
    case first_2:
      return layer < 2;
    case first_4:
      return layer < 4;
    case grouped_queries:
      return model.queries_per_kv_head >= 4;
    case eight_experts:
      return model.n_experts == 8;
    case stacked:
      return tensor.dims[2] > 1;
  }
  return false;
}

// The value of "<architecture>.<key>", of the first layer where each has its own; 0 for none.
int64_t arch_integer(const GgufFile& file, std::string_view key) {
  const auto architecture = file.string("general.architecture");
  if (!architecture) return 0;
  const formats::GgufValue* const value =
      file.find(std::string(*architecture) + "." + std::string(key));
  if (value == nullptr) return 0;
  if (const auto integer = value->to_integer(); integer.ok()) return *integer;
  const auto array = value->to_array();
  if (!array) return 0;
  const auto values = array->to_integers();
  return values.ok() && !values->empty() ? *std::max_element(values->begin(), values->end()) : 0;
}

}  // namespace

std::span<const QuantMix> quant_mixes() noexcept { return kMixes; }

const QuantMix* find_mix(std::string_view name) noexcept {
  for (const QuantMix& mix : kMixes) {
    if (same_word(mix.name, name)) return &mix;
  }
  return nullptr;
}

const quant::FormatTraits* find_format_named(std::string_view name) noexcept {
  for (const quant::FormatTraits& traits : quant::format_traits()) {
    if (same_word(traits.name, name)) return &traits;
  }
  return nullptr;
}

MixModel mix_model(const GgufFile& file, bool has_importance) {
  MixModel model;
  model.n_layers = arch_integer(file, "block_count");
  model.n_experts = arch_integer(file, "expert_count");
  const int64_t n_kv_heads = arch_integer(file, "attention.head_count_kv");
  if (n_kv_heads > 0) {
    model.queries_per_kv_head = arch_integer(file, "attention.head_count") / n_kv_heads;
  }
  model.has_output = file.find_tensor("output.weight") != nullptr;
  model.has_importance = has_importance;
  return model;
}

MatrixRole role_of(std::string_view tensor, bool has_output) noexcept {
  if (tensor == "output.weight") return output;
  if (tensor == "token_embd.weight") return has_output ? embedding : output;
  for (const std::string_view name : {"attn_v.", "attn_qkv.", "attn_kv_b."}) {
    if (contains(tensor, name)) return value;
  }
  if (contains(tensor, "attn_k.")) return key;
  if (contains(tensor, "attn_output.")) return attn_out;
  if (contains(tensor, "ffn_down")) return ffn_down;
  return contains(tensor, "_exps.") ? experts : other;
}

Format format_in(const QuantMix& mix, const MixModel& model, const GgufTensor& tensor) noexcept {
  const MatrixRole role = role_of(tensor.name, model.has_output);
  for (const MixRule& rule : mix.rules) {
    if (rule.role == role && is_in_scope(rule.scope, model, tensor)) return rule.format;
  }
  return mix.base;
}

}  // namespace larder::runtime
