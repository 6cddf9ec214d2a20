// Which type each tensor gets: mixes, fallbacks, patterns, and what is never quantised.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "runtime/convert/quant_mix.h"
#include "runtime/convert/quantize_plan.h"
#include "tests/gguf_builder.h"

namespace larder::tests {
namespace {

using formats::GgufFile;
using quant::Format;
using runtime::MixModel;
using runtime::QuantizePlanOptions;

MixModel layers(int64_t n) {
  MixModel model;
  model.n_layers = n;
  model.has_output = true;
  return model;
}

Format type_in(const char* mix, const MixModel& model, std::string_view name,
               uint64_t n_matrices = 1) {
  formats::GgufTensor tensor;
  tensor.name = name;
  tensor.dims = {256, 256, n_matrices, 1};
  return runtime::format_in(*runtime::find_mix(mix), model, tensor);
}

// A file of float32 tensors without a model's sense.
struct File {
  Bytes bytes;
  std::shared_ptr<const GgufFile> file;
};
File file_of(const std::vector<std::pair<std::string, std::vector<uint64_t>>>& tensors,
             const std::string& changed = {}, uint32_t type = 0, size_t data_bytes = 0) {
  GgufBuilder builder;
  builder.keys.push_back(key_string("general.architecture", "qwen3moe"));
  builder.keys.push_back(key_u32("qwen3moe.block_count", 8));
  for (const auto& [name, dims] : tensors) {
    uint64_t n = 1;
    for (const uint64_t dim : dims) n *= dim;
    RawTensor tensor{name, dims, 0, Bytes(n * 4, '\0')};
    if (name == changed) {
      tensor.type = type;
      tensor.data = Bytes(data_bytes, '\0');
    }
    builder.tensors.push_back(tensor);
  }
  File made{builder.build(), nullptr};
  made.file = *GgufFile::parse(std::as_bytes(std::span(made.bytes)), "made.gguf");
  return made;
}

Result<runtime::QuantizePlan> plan(const File& made, const char* mix,
                                   const QuantizePlanOptions& options = {}) {
  const MixModel model = runtime::mix_model(*made.file, false);
  return runtime::plan_quantization(
      *made.file,
      [&](const formats::GgufTensor& tensor) {
        return runtime::format_in(*runtime::find_mix(mix), model, tensor);
      },
      options);
}

std::map<std::string, std::string> types_of(const runtime::QuantizePlan& plan) {
  std::map<std::string, std::string> types;
  for (const auto& tensor : plan.tensors) {
    types[std::string(tensor.source->name)] = std::string(tensor.type->name);
  }
  return types;
}

}  // namespace

TEST_CASE("quantise plan: Q4_K_M gives more bits to the same layers as llama.cpp") {
  // Of 48: 0-5, every third from 8 to 41, 42-47.
  int n_more = 0;
  for (int layer = 0; layer < 48; ++layer) {
    CAPTURE(layer);
    const bool has_more = layer < 6 || layer >= 42 || (layer >= 8 && (layer - 8) % 3 == 0);
    n_more += has_more;
    const std::string block = "blk." + std::to_string(layer) + ".";
    for (const char* name : {"attn_v.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight",
                             "attn_kv_b.weight", "attn_qkv.weight"}) {
      CHECK(type_in("q4_k_m", layers(48), block + name) ==
            (has_more ? Format::q6_k : Format::q4_k));
    }
    for (const char* name : {"attn_q.weight", "attn_k.weight", "ffn_gate_exps.weight",
                             "attn_output.weight", "attn_v_b.weight"}) {
      CHECK(type_in("q4_k_m", layers(48), block + name) == Format::q4_k);
    }
  }
  CHECK(n_more == 24);
}

TEST_CASE("quantise plan: head, embedding and Mixtral's attention have rules of their own") {
  MixModel model = layers(32);
  CHECK(type_in("q4_0", model, "output.weight") == Format::q6_k);
  CHECK(type_in("Q8_0", model, "output.weight") == Format::q8_0);
  CHECK(type_in("q4_k_m", model, "token_embd.weight") == Format::q4_k);
  model.has_output = false;  // tied
  CHECK(type_in("q4_k_m", model, "token_embd.weight") == Format::q6_k);
  model.n_experts = 8;
  CHECK(type_in("q4_k_m", model, "blk.9.attn_k.weight") == Format::q8_0);
  CHECK(type_in("q4_k_m", model, "blk.9.attn_v.weight") == Format::q8_0);
  CHECK(type_in("q4_k_m", model, "blk.9.attn_output.weight") == Format::q5_k);
  CHECK(type_in("q4_0", model, "blk.9.attn_k.weight") == Format::q8_0);
  CHECK(type_in("q4_0", model, "blk.9.attn_q.weight") == Format::q4_0);
  CHECK(type_in("q3_k_l", model, "blk.9.attn_output.weight") == Format::q3_k);
  CHECK(type_in("q3_k_m", model, "blk.9.ffn_down_exps.weight") == Format::q4_k);
}

TEST_CASE("quantise plan: MXFP4_MOE is for experts, the rest is Q8_0") {
  CHECK(type_in("mxfp4_moe", layers(4), "blk.0.ffn_gate_exps.weight", 8) == Format::mxfp4);
  CHECK(type_in("mxfp4_moe", layers(4), "blk.0.ffn_down_exps.weight", 8) == Format::mxfp4);
  CHECK(type_in("mxfp4_moe", layers(4), "blk.0.ffn_down.weight") == Format::q8_0);
  CHECK(type_in("mxfp4_moe", layers(4), "output.weight") == Format::q8_0);
}

TEST_CASE("quantise plan: importance changes some mixes") {
  MixModel model = layers(32);
  CHECK(type_in("q4_0", model, "blk.0.ffn_down.weight") == Format::q4_0);
  CHECK(type_in("iq4_xs", model, "blk.0.ffn_down.weight") == Format::q5_k);
  model.has_importance = true;
  CHECK(type_in("q4_0", model, "blk.3.ffn_down.weight") == Format::q4_1);
  CHECK(type_in("q4_0", model, "blk.4.ffn_down.weight") == Format::q4_0);
  CHECK(type_in("iq4_xs", model, "blk.0.ffn_down.weight") == Format::iq4_xs);
}

TEST_CASE("quantise plan: rows that fit no super-block get the smaller block, or float16") {
  CHECK(runtime::fitting_format(Format::q4_k, 1408) == Format::q5_0);
  CHECK(runtime::fitting_format(Format::q5_k, 2880) == Format::q5_1);
  CHECK(runtime::fitting_format(Format::q6_k, 128) == Format::q8_0);
  CHECK(runtime::fitting_format(Format::q3_k, 1408) == Format::q4_0);
  CHECK(runtime::fitting_format(Format::iq4_xs, 1408) == Format::iq4_nl);
  CHECK(runtime::fitting_format(Format::q4_k, 1400) == Format::f16);
  CHECK(runtime::fitting_format(Format::q8_0, 33) == Format::f16);
  CHECK(runtime::fitting_format(Format::q4_k, 2048) == Format::q4_k);
  CHECK(runtime::fitting_format(Format::f32, 7) == Format::f32);
}

TEST_CASE("quantise plan: norms, routers, biases and vectors stay, sizes add up") {
  const File made = file_of({{"blk.0.attn_norm.weight", {256}},
                             {"blk.0.ffn_gate_inp.weight", {256, 8}},
                             {"blk.0.attn_q.bias", {256, 2}},
                             {"blk.0.attn_sinks.weight", {8, 2}},
                             {"blk.0.shortconv.conv.weight", {32, 256}},
                             {"blk.0.attn_q.weight", {256, 4}},
                             {"blk.0.ffn_down_exps.weight", {96, 4, 3}}});
  const auto planned = plan(made, "q4_k_m");
  REQUIRE(planned.ok());
  CHECK(types_of(*planned) ==
        std::map<std::string, std::string>{{"blk.0.attn_norm.weight", "F32"},
                                           {"blk.0.ffn_gate_inp.weight", "F32"},
                                           {"blk.0.attn_q.bias", "F32"},
                                           {"blk.0.attn_sinks.weight", "F32"},
                                           {"blk.0.shortconv.conv.weight", "F32"},
                                           {"blk.0.attn_q.weight", "Q4_K"},
                                           {"blk.0.ffn_down_exps.weight", "Q8_0"}});
  CHECK(planned->tensors.back().is_fallback);
  CHECK(planned->tensors.back().size_bytes == 96 / 32 * 34 * 12);
  uint64_t bytes = 0;
  for (const auto& tensor : planned->tensors) bytes += tensor.size_bytes;
  CHECK(planned->size_bytes == bytes);
}

TEST_CASE("quantise plan: patterns override, the last wins, idle ones are told") {
  const File made = file_of({{"blk.0.attn_q.weight", {256, 4}},
                             {"blk.1.attn_q.weight", {256, 4}},
                             {"blk.1.attn_norm.weight", {256}}});
  QuantizePlanOptions options;
  options.overrides = {{"attn_q", Format::q8_0},
                       {"blk.1.*q", Format::q5_k},
                       {"attn_norm", Format::q8_0},
                       {"ffn_down", Format::q8_0}};
  const auto planned = plan(made, "q4_k_m", options);
  REQUIRE(planned.ok());
  CHECK(types_of(*planned)["blk.0.attn_q.weight"] == "Q8_0");
  CHECK(types_of(*planned)["blk.1.attn_q.weight"] == "Q5_K");
  CHECK(types_of(*planned)["blk.1.attn_norm.weight"] == "F32");
  CHECK(planned->unmatched == std::vector<std::string>{"attn_norm", "ffn_down"});
  CHECK(runtime::matches("a*c", "xxabxcx"));
  CHECK_FALSE(runtime::matches("a*c", "xxcba"));
  CHECK(runtime::matches("*", "anything"));
}

TEST_CASE("quantise plan: what is quantised already needs a permission, unless it stays") {
  const File made =
      file_of({{"blk.0.attn_q.weight", {256, 4}}}, "blk.0.attn_q.weight", 8, 256 / 32 * 34 * 4);
  const auto refused = plan(made, "q4_k_m");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().cause() == Cause::unsupported);
  CHECK(refused.status().to_string().find("blk.0.attn_q.weight") != std::string::npos);
  CHECK(refused.status().to_string().find("--allow-requantize") != std::string::npos);
  CHECK(plan(made, "q8_0").ok());
  QuantizePlanOptions options;
  options.allows_requantize = true;
  CHECK(plan(made, "q4_k_m", options).ok());
}

TEST_CASE("quantise plan: a type that cannot be read is an error with the tensor's name") {
  const File made =
      file_of({{"blk.0.attn_q.weight", {256, 4}}}, "blk.0.attn_q.weight", 16, 66 * 4);  // IQ2_XXS
  QuantizePlanOptions options;
  options.allows_requantize = true;
  const auto refused = plan(made, "q4_k_m", options);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().to_string().find("IQ2_XXS") != std::string::npos);
}

TEST_CASE("quantise plan: every mix has rules that apply and a name of its own") {
  std::map<int32_t, std::string> names;
  for (const runtime::QuantMix& mix : runtime::quant_mixes()) {
    CHECK(names.emplace(mix.file_type, mix.name).second);
    CHECK(runtime::find_mix(mix.name) == &mix);
  }
  CHECK(runtime::find_mix("q4_k") == nullptr);
  CHECK(runtime::find_format_named("q4_k")->format == Format::q4_k);
  CHECK(runtime::find_format_named("q4_k_m") == nullptr);
}

}  // namespace larder::tests
