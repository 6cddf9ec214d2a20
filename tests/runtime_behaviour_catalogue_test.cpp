// The catalogue of malformed models, for behaviours that few architectures have: windows, sinks,
// biases, LayerNorm, sparsemixer, LongRoPE.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/golden_case.h"
#include "tests/model_catalogue.h"

using namespace larder;
using namespace larder::tests;

namespace {

const std::vector<Cause> kUnsupported = {Cause::unsupported};
const std::string kWidth = "gpt-oss.attention.sliding_window";
const std::string kPattern = "gpt-oss.attention.sliding_window_pattern";

ModelCase with(const TinyShape& shape, const RawKey& key, std::vector<Cause> causes = {}) {
  return changed(
      key.key, [&](GgufBuilder& f) { f.key(key.key) = key; }, causes, causes.empty() ? "" : key.key,
      shape);
}

ModelCase with(const TinyShape& shape, const RawTensor& tensor, std::vector<Cause> causes = {}) {
  return changed(
      tensor.name,
      [&](GgufBuilder& f) {
        drop_tensor(f, tensor.name);
        f.tensors.push_back(tensor);
      },
      causes, causes.empty() ? "" : tensor.name, shape);
}

RawTensor floats(const std::string& name, std::vector<uint64_t> dims) {
  uint64_t n = 1;
  for (const uint64_t dim : dims) n *= dim;
  return {.name = name, .dims = std::move(dims), .data = random_floats(n, 3, 0.3F)};
}

std::vector<bool> windowed_layers(const GgufBuilder& file) {
  const OpenedModel opened = open_model(file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  std::vector<bool> flags;
  for (const runtime::LayerConfig& layer : (*opened.model)->config().layers)
    flags.push_back(layer.is_windowed);
  return flags;
}

// Rows of each head from (i, i + n / 2) rotating together to (2i, 2i + 1).
void interleave_heads(RawTensor& tensor, size_t d_head) {
  const size_t n_rows = tensor.dims.back(), row = tensor.data.size() / n_rows;
  const Bytes from = tensor.data;
  for (size_t r = 0; r < n_rows; ++r) {
    const size_t in_head = r % d_head, half = d_head / 2;
    const size_t to = r - in_head + in_head % half * 2 + in_head / half;
    tensor.data.replace(to * row, row, from, r * row, row);
  }
}

std::vector<float> logits(const GgufBuilder& file) {
  const OpenedModel opened = open_model(file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  return run_tokens(*opened.model, {1, 2, 3, 250, 7}, {}).logits;
}

}  // namespace

TEST_CASE("behaviour catalogue: the unchanged files open and answer") {
  check({"tiny gpt-oss", tiny_model(tiny_gpt_oss())});
  check({"tiny phimoe", tiny_model(tiny_phimoe())});
  check({"tiny llama4", tiny_model(tiny_llama4())});
}

TEST_CASE("behaviour catalogue: the two layouts of rotation are one model, rows permuted") {
  TinyShape shape = {.architecture = "qwen2", .n_experts = 0, .has_qk_norm = false};
  shape.has_biases = true;
  const GgufBuilder halves = tiny_model(shape);
  shape.architecture = "llama";
  GgufBuilder adjacent = tiny_model(shape);
  for (RawTensor& tensor : adjacent.tensors)
    if (tensor.name.find("attn_q.") != std::string::npos ||
        tensor.name.find("attn_k.") != std::string::npos)
      interleave_heads(tensor, shape.d_head);

  const std::vector<float> a = logits(halves), b = logits(adjacent);
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-4));
}

TEST_CASE("behaviour catalogue: which layers have a window") {
  TinyShape shape = tiny_gpt_oss();
  shape.n_layers = 4;
  GgufBuilder file = tiny_model(shape);
  CHECK(windowed_layers(file) == std::vector<bool>{true, false, true, false});
  file.keys.push_back(key_u32(kPattern, 4));
  CHECK(windowed_layers(file) == std::vector<bool>{true, true, true, false});
  file.key(kPattern) = key_u32(kPattern, 1);
  CHECK(windowed_layers(file) == std::vector<bool>(4, false));
  file.key(kPattern) = key_u32(kPattern, 0);
  CHECK(windowed_layers(file) == std::vector<bool>(4, true));
  file.key(kPattern) = key_array(kPattern, kBool, 4, le8(0) + le8(1) + le8(1) + le8(0));
  CHECK(windowed_layers(file) == std::vector<bool>{false, true, true, false});
  file.key(kWidth) = key_u32(kWidth, 0);
  CHECK(windowed_layers(file) == std::vector<bool>(4, false));
}

TEST_CASE("behaviour catalogue: layers without a window may know no positions") {
  TinyShape shape = tiny_llama4();
  shape.n_layers = 4;
  const auto layers = [&] {
    const OpenedModel opened = open_model(tiny_model(shape));
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    return (*opened.model)->config();
  };
  const runtime::ModelConfig config = layers();
  CHECK(config.window.width == 8192);
  for (size_t i = 0; i < 4; ++i) {
    const bool rotates = i < 3;
    CHECK(config.layers[i].is_windowed == rotates);
    CHECK(config.layers[i].rotates == rotates);
    CHECK((config.layers[i].temperature_span > 0) == !rotates);
    CHECK((config.layers[i].qk_norm == runtime::QkNorm::unit_after_rope) == rotates);
  }
  shape.window = 64;
  CHECK(layers().window.width == 64);
  shape.n_experts = 128;
  CHECK(layers().layers[0].qk_norm == runtime::QkNorm::none);
}

TEST_CASE("behaviour catalogue: malformed windows") {
  const TinyShape shape = tiny_gpt_oss();
  check(changed(
      "no width", [](GgufBuilder& f) { drop_key(f, kWidth); }, kHparam, kWidth, shape));
  for (const uint32_t width : {1U << 31, UINT32_MAX})
    check(with(shape, key_u32(kWidth, width), kHparam));
  for (const uint32_t width : {0U, 1U, 1U << 30}) check(with(shape, key_u32(kWidth, width)));
  check(with(shape, key_string(kWidth, "4"), kHparam));
  check(with(shape, key_u32(kPattern, UINT32_MAX), kHparam));
  check(with(shape, key_string(kPattern, "2"), kHparam));
  check(with(shape, key_array(kPattern, kBool, 3, le8(1) + le8(0) + le8(1)), kHparam));
  check(with(shape, key_array(kPattern, kBool, 0, {}), kHparam));
  check(with(shape, key_array(kPattern, kU32, 2, le32(1) + le32(0)), kHparam));
}

TEST_CASE("behaviour catalogue: yarn's bounds") {
  for (const char* key : {"rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"})
    for (const float value : {kNan, 0.0F, -1.0F, kInfinity})
      check(with({}, key_f32(full(key), value), kHparam));
}

TEST_CASE("behaviour catalogue: sparsemixer takes two experts, ungrouped, without a bias") {
  const TinyShape shape = tiny_phimoe();
  for (const uint32_t n : {1U, 3U})
    check(with(shape, key_u32("phimoe.expert_used_count", n), kHparam));
  check(with(shape, key_u32("phimoe.expert_group_count", 2), kHparam));
  check(with(shape, floats("blk.0.exp_probs_b.bias", {4}), kUnsupported));
}

TEST_CASE("behaviour catalogue: LongRoPE has both sets of factors and the model's multiplier") {
  const TinyShape shape = tiny_phimoe();
  const std::string factor = "phimoe.rope.scaling.attn_factor";
  GgufBuilder file = tiny_model(shape);
  file.keys.push_back(key_f32(factor, 1.19F));
  const auto rope = [&] {
    const OpenedModel opened = open_model(file);
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    return (*opened.model)->config().rope;
  };
  CHECK(rope().multiplier == 1);
  file.tensors.push_back(tensor_f32("rope_factors_short.weight", {8}));
  check({"short alone", file, kMissing, "rope_factors_long.weight"});
  file.tensors.push_back(tensor_f32("rope_factors_long.weight", {8}));
  check({"both", file});
  CHECK(rope().scaling == runtime::RopeScaling::longrope);
  CHECK(rope().multiplier == doctest::Approx(1.243163121016122).epsilon(1e-15));
}

TEST_CASE("behaviour catalogue: sinks and biases of other shapes, and where none belong") {
  const TinyShape shape = tiny_gpt_oss();
  check(with(shape, floats("blk.0.attn_sinks.weight", {5}), kShape));
  check(with(shape, floats("blk.0.attn_sinks.weight", {1, 4}), kShape));
  check(with(shape, floats("blk.1.ffn_gate_exps.bias", {31, 4}), kShape));
  check(with(shape, floats("blk.1.ffn_up_exps.bias", {32, 3}), kShape));
  check(with(shape, floats("blk.1.ffn_down_exps.bias", {32}), kShape));
  check(with(tiny_phimoe(), floats("blk.0.attn_norm.bias", {31}), kShape));
  check(with(tiny_phimoe(), floats("output_norm.bias", {33}), kShape));
  check(with({}, floats("blk.0.attn_sinks.weight", {4}), kUnsupported));
  for (const char* name : {"output_norm.bias", "blk.0.attn_norm.bias", "blk.1.ffn_norm.bias"})
    check(with({}, floats(name, {32}), kUnsupported));
  check(with({}, floats("blk.1.ffn_down_exps.bias", {32, 4})));
  check(with(tiny_dense(), floats("blk.1.ffn_down_exps.bias", {32, 4}), kHparam));
}

TEST_CASE("behaviour catalogue: numbers in sinks and biases") {
  for (const char* name : {"blk.0.attn_sinks.weight", "blk.0.ffn_gate_exps.bias",
                           "blk.0.ffn_up_exps.bias", "blk.0.ffn_down_exps.bias"})
    check(changed(
        name,
        [&](GgufBuilder& f) {
          RawTensor& tensor = f.tensor(name);
          for (uint64_t i = 0; i < tensor.data.size() / 4; ++i) set_float(tensor, i, kNan);
        },
        kNumeric, "0", tiny_gpt_oss()));
  check(changed(
      "output_norm.bias", [](GgufBuilder& f) { set_float(f.tensor("output_norm.bias"), 3, kNan); },
      kNumeric, "", tiny_phimoe()));
}
