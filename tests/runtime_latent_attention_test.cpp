// Latent attention over a tiny model, in both layouts that files have, and the catalogue of what
// can be wrong with its keys and tensors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "quant/reference.h"
#include "runtime/forward/forward.h"
#include "tests/model_catalogue.h"

using namespace larder;
using namespace larder::tests;

namespace {

// Every width a multiple of 32, so that all matrices may be Q8_0.
constexpr uint32_t kModel = 32, kUnrotated = 32, kRotated = 16, kValue = 32, kLatent = 64;
constexpr uint32_t kKey = kUnrotated + kRotated;

enum class Layout { split, legacy };

std::string key(const char* name) { return std::string("deepseek2.") + name; }

void add_matrix(GgufBuilder& file, const std::string& name, std::vector<uint64_t> dims,
                uint32_t seed) {
  uint64_t n = 1;
  for (const uint64_t dim : dims) n *= dim;
  file.tensors.push_back(
      {.name = name, .dims = std::move(dims), .data = random_floats(n, seed, 0.3F)});
}

// attn_kv_b, [head][unrotated key, then value][latent], as the two tensors of later files.
void split_kv_b(GgufBuilder& file, const std::string& prefix, uint64_t n_heads) {
  const Bytes whole = file.tensor(prefix + "attn_kv_b.weight").data;
  const auto at = [&](uint64_t head, uint64_t row, uint64_t latent) {
    return whole.substr(((head * (kUnrotated + kValue) + row) * kLatent + latent) * 4, 4);
  };
  Bytes k_b, v_b;
  for (uint64_t h = 0; h < n_heads; ++h) {
    for (uint64_t c = 0; c < kLatent; ++c)
      for (uint64_t r = 0; r < kUnrotated; ++r) k_b += at(h, r, c);
    for (uint64_t r = 0; r < kValue; ++r)
      for (uint64_t c = 0; c < kLatent; ++c) v_b += at(h, kUnrotated + r, c);
  }
  drop_tensor(file, prefix + "attn_kv_b.weight");
  file.tensors.push_back({.name = prefix + "attn_k_b.weight",
                          .dims = {kUnrotated, kLatent, n_heads},
                          .data = std::move(k_b)});
  file.tensors.push_back({.name = prefix + "attn_v_b.weight",
                          .dims = {kLatent, kValue, n_heads},
                          .data = std::move(v_b)});
}

GgufBuilder tiny_latent(Layout layout, uint32_t n_heads = 4) {
  const TinyShape shape = {.architecture = "deepseek2",
                           .d_model = kModel,
                           .n_heads = n_heads,
                           .n_kv_heads = 1,
                           .d_head = kKey,
                           .has_qk_norm = false};
  GgufBuilder file = tiny_model(shape);
  file.key(key("attention.value_length")).value = le32(kValue);
  file.key(key("rope.dimension_count")).value = le32(kRotated);
  file.keys.push_back(key_u32(key("attention.kv_lora_rank"), kLatent));
  if (layout == Layout::split) {
    file.key(key("attention.key_length")).value = le32(kLatent + kRotated);
    file.key(key("attention.value_length")).value = le32(kLatent);
    file.keys.push_back(key_u32(key("attention.key_length_mla"), kKey));
    file.keys.push_back(key_u32(key("attention.value_length_mla"), kValue));
  }
  for (uint32_t layer = 0; layer < shape.n_layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const char* name : {"attn_k.weight", "attn_v.weight", "attn_output.weight"})
      drop_tensor(file, prefix + name);
    add_matrix(file, prefix + "attn_kv_a_mqa.weight", {kModel, kLatent + kRotated}, 71 + layer);
    file.tensors.push_back(tensor_f32(prefix + "attn_kv_a_norm.weight", {kLatent}));
    file.tensors.back().data = random_floats(kLatent, 75 + layer, 1);
    add_matrix(file, prefix + "attn_kv_b.weight", {kLatent, n_heads * (kUnrotated + kValue)},
               81 + layer);
    add_matrix(file, prefix + "attn_output.weight", {n_heads * kValue, kModel}, 91 + layer);
    if (layout == Layout::split) split_kv_b(file, prefix, n_heads);
  }
  return file;
}

// Queries through a latent of their own.
void add_query_latent(GgufBuilder& file, uint64_t n_heads) {
  constexpr uint32_t kQueryLatent = 32;
  file.keys.push_back(key_u32(key("attention.q_lora_rank"), kQueryLatent));
  for (const char* layer : {"0", "1"}) {
    const std::string prefix = std::string("blk.") + layer + ".";
    drop_tensor(file, prefix + "attn_q.weight");
    add_matrix(file, prefix + "attn_q_a.weight", {kModel, kQueryLatent}, 101);
    file.tensors.push_back(tensor_f32(prefix + "attn_q_a_norm.weight", {kQueryLatent}));
    file.tensors.back().data = random_floats(kQueryLatent, 103, 1);
    add_matrix(file, prefix + "attn_q_b.weight", {kQueryLatent, n_heads * kKey}, 105);
  }
}

void round_to_q8_0(GgufBuilder& file) {
  for (RawTensor& tensor : file.tensors) {
    if (tensor.dims.size() < 2 || tensor.name.find("ffn_gate_inp") != std::string::npos) continue;
    std::vector<float> values(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    std::vector<uint8_t> blocks(values.size() / 32 * 34);
    quant::reference::quantize(quant::Format::q8_0, values.data(),
                               static_cast<int64_t>(values.size()), blocks.data());
    tensor.type = static_cast<uint32_t>(quant::Format::q8_0);
    tensor.data.assign(blocks.begin(), blocks.end());
  }
}

std::shared_ptr<const runtime::Model> open(const OpenedModel& opened) {
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  return *opened.model;
}

constexpr int32_t kTokens = 21;

// The logits behind every token, in chunks.
std::vector<float> logits_of(const std::shared_ptr<const runtime::Model>& model,
                             quant::Arithmetic arithmetic, int threads, int32_t chunk) {
  auto forward = runtime::Forward::create(
      model,
      {.arithmetic = arithmetic, .n_threads = threads, .max_rows = chunk, .max_logits = chunk});
  REQUIRE(forward.ok());
  auto state = runtime::SequenceState::create(model->config(), kTokens, runtime::CacheType::f16);
  REQUIRE(state.ok());
  runtime::SequenceState* sequences[] = {state->get()};
  std::vector<float> logits;
  for (int32_t begin = 0; begin < kTokens; begin += chunk) {
    std::vector<runtime::TokenRow> rows;
    for (int32_t i = begin; i < std::min(begin + chunk, kTokens); ++i)
      rows.push_back({i * 37 % 250, i, 0, true});
    const Status status = (*forward)->run(rows, sequences);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    for (int i = 0; i < static_cast<int>(rows.size()); ++i)
      logits.insert(logits.end(), (*forward)->logits(i),
                    (*forward)->logits(i) + model->config().n_vocab);
  }
  return logits;
}

ModelCase latent_case(std::string id, const std::function<void(GgufBuilder&)>& change,
                      std::vector<Cause> causes, std::string subject,
                      Layout layout = Layout::split) {
  GgufBuilder file = tiny_latent(layout);
  change(file);
  return {std::move(id), std::move(file), std::move(causes), std::move(subject)};
}

ModelCase with_number(const char* name, uint32_t value, std::vector<Cause> causes,
                      const char* subject, Layout layout = Layout::split) {
  return latent_case(
      std::string(name) + " " + std::to_string(value),
      [&](GgufBuilder& f) { f.key(key(name)) = key_u32(key(name), value); }, std::move(causes),
      subject, layout);
}

}  // namespace

TEST_CASE("latent attention: both layouts of a file answer alike") {
  const OpenedModel split = open_model(tiny_latent(Layout::split));
  const OpenedModel legacy = open_model(tiny_latent(Layout::legacy));
  const std::vector<float> a = logits_of(open(split), quant::Arithmetic::exact, 1, kTokens);
  const std::vector<float> b = logits_of(open(legacy), quant::Arithmetic::exact, 1, kTokens);
  REQUIRE(a.size() == b.size());
  double most = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(double{a[i]} - double{b[i]}));
    largest = std::max(largest, std::abs(double{a[i]}));
  }
  CHECK(largest > 0.1);
  CHECK(most <= 1e-3 * largest);  // the cache is float16: a unit of it may round either way
}

TEST_CASE("latent attention: the same bits in pieces and on threads, whatever lies in blocks") {
  // With 1024 heads a call's rows are taken four at a time.
  for (const uint32_t n_heads : {4U, 1024U})
    for (const Layout layout : {Layout::split, Layout::legacy}) {
      GgufBuilder file = tiny_latent(layout, n_heads);
      if (layout == Layout::split) add_query_latent(file, n_heads);
      round_to_q8_0(file);
      const OpenedModel opened = open_model(file);
      const auto run = [&](int threads, int32_t chunk) {
        return logits_of(open(opened), quant::Arithmetic::integer, threads, chunk);
      };
      CAPTURE(n_heads);
      CAPTURE(static_cast<int>(layout));
      const std::vector<float> whole = run(1, kTokens);
      CHECK(run(2, kTokens) == whole);
      CHECK(run(3, 7) == whole);
      CHECK(run(1, 1) == whole);
    }
}

TEST_CASE("latent attention: a position is its latent and its rotated key") {
  const OpenedModel opened = open_model(tiny_latent(Layout::legacy));
  const runtime::ModelConfig& config = open(opened)->config();
  CHECK(config.layers[0].n_kv_heads == 1);
  CHECK(runtime::SequenceState::bytes_for(config, 64, runtime::CacheType::f16) ==
        2 * 64 * (kLatent + kRotated) * 2);
  auto state = runtime::SequenceState::create(config, 64, runtime::CacheType::f16);
  REQUIRE(state.ok());
  CHECK((*state)->values(1, 0).data == (*state)->keys(1, 0).data);
  CHECK((*state)->values(1, 0).stride == kLatent + kRotated);
}

TEST_CASE("latent attention: yarn scales scores, not cos and sin") {
  GgufBuilder file = tiny_latent(Layout::split);
  file.keys.push_back(key_string(key("rope.scaling.type"), "yarn"));
  file.keys.push_back(key_f32(key("rope.scaling.factor"), 40));
  const double plain = 1 / std::sqrt(double{kKey});
  const OpenedModel without = open_model(file);
  CHECK(open(without)->config().layers[0].attention_scale == doctest::Approx(plain));
  CHECK(open(without)->config().rope.multiplier == doctest::Approx(1 + 0.1 * std::log(40.0)));
  file.keys.push_back(key_f32(key("rope.scaling.yarn_log_multiplier"), 0.0707F));
  const OpenedModel with = open_model(file);
  CHECK(open(with)->config().layers[0].attention_scale ==
        doctest::Approx(plain * 1.5896).epsilon(1e-4));  // DeepSeek-V2-Lite's
  CHECK(open(with)->config().rope.multiplier == 1);
}

TEST_CASE("latent attention: an absent gate is a sigmoid where selection is biased") {
  GgufBuilder file = tiny_latent(Layout::split);
  const OpenedModel plain = open_model(file);
  CHECK(open(plain)->config().layers[1].router.gate == runtime::RouterGate::softmax);
  CHECK(open(plain)->config().layers[1].router.group_score == runtime::GroupScore::max);
  for (const char* layer : {"0", "1"})
    file.tensors.push_back(tensor_f32(std::string("blk.") + layer + ".exp_probs_b.bias", {4}));
  const OpenedModel biased = open_model(file);
  CHECK(open(biased)->config().layers[1].router.gate == runtime::RouterGate::sigmoid);
  CHECK(open(biased)->config().layers[1].router.group_score == runtime::GroupScore::top2_sum);
}

TEST_CASE("latent attention: keys that cannot be") {
  check(latent_case(
      "sound", [](GgufBuilder&) {}, {}, ""));
  check(latent_case(
      "sound legacy", [](GgufBuilder&) {}, {}, "", Layout::legacy));
  check(latent_case(
      "no latent", [](GgufBuilder& f) { drop_key(f, key("attention.kv_lora_rank")); }, kHparam,
      "attention.kv_lora_rank"));
  for (const uint32_t n : {0U, 1U << 20, UINT32_MAX})
    check(with_number("attention.kv_lora_rank", n, kHparam, "attention.kv_lora_rank"));
  check(with_number("attention.kv_lora_rank", 32, kShape, "attn_kv_a_mqa"));
  for (const uint32_t n : {1U << 20, UINT32_MAX})
    check(with_number("attention.q_lora_rank", n, kHparam, "attention.q_lora_rank"));
  check(with_number("attention.q_lora_rank", 0, {}, ""));
  for (const uint32_t n : {0U, 15U, 1U << 31})
    for (const char* name : {"attention.key_length_mla", "attention.value_length_mla"})
      check(with_number(name, n, kHparam, name));
  check(with_number("attention.value_length_mla", 16, kShape, "attn_"));
  check(with_number("attention.value_length", 16, kShape, "attn_", Layout::legacy));
  for (const uint32_t n : {kKey, 0U, 7U})
    check(with_number("rope.dimension_count", n, kHparam, "rope.dimension_count"));
  check(with_number("rope.dimension_count", 2 * kRotated, kShape, "attn_"));
  check(latent_case(
      "cut projections",
      [](GgufBuilder& f) { f.keys.push_back(key_f32(key("attention.clamp_kqv"), 8)); }, kHparam,
      "attention.clamp_kqv"));
}

TEST_CASE("latent attention: tensors that are absent or of another shape") {
  for (const Layout layout : {Layout::split, Layout::legacy})
    for (const RawTensor& tensor : tiny_latent(layout).tensors) {
      if (tensor.name.find("blk.1.attn_") != 0) continue;
      check(latent_case(
          "without " + tensor.name, [&](GgufBuilder& f) { drop_tensor(f, tensor.name); }, kMissing,
          tensor.name.find("attn_kv_b") == std::string::npos ? tensor.name : "attn_k_b", layout));
      check(latent_case(
          "twice " + tensor.name,
          [&](GgufBuilder& f) {
            RawTensor& twice = f.tensor(tensor.name);
            twice.dims.back() *= 2;
            twice.data += twice.data;
          },
          kShape, tensor.name, layout));
    }
  check(latent_case(
      "an ordinary key projection",
      [](GgufBuilder& f) {
        add_matrix(f, "blk.0.attn_k.weight", {kModel, kKey}, 5);
      },
      {Cause::unsupported}, "blk.0.attn_k.weight"));
}
