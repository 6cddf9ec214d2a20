// The catalogue of malformed hyper-parameters: each file gives its typed error, or opens and
// answers with finite numbers. Nothing is allocated by what a file claims.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/model_catalogue.h"

using namespace larder;
using namespace larder::tests;

namespace {

RawKey raw(const std::string& key, uint32_t type, Bytes value) {
  return {key, type, std::move(value)};
}

// A key of the architecture, set to a value.
ModelCase with(std::string id, const char* key, RawKey value, std::vector<Cause> causes = {}) {
  return changed(
      std::move(id), [&](GgufBuilder& file) { file.key(full(key)) = value; }, causes,
      causes.empty() ? "" : full(key));
}
ModelCase with_u32(std::string id, const char* key, uint32_t value,
                   std::vector<Cause> causes = {}) {
  return with(std::move(id), key, key_u32(full(key), value), std::move(causes));
}
ModelCase with_f32(std::string id, const char* key, float value, std::vector<Cause> causes = {}) {
  return with(std::move(id), key, key_f32(full(key), value), std::move(causes));
}

}  // namespace

TEST_CASE("model catalogue: the unchanged files open and answer") {
  check({"tiny qwen3moe", tiny_model()});
  check({"tiny mixtral", tiny_model(tiny_mixtral())});
  check({"tiny dense", tiny_model(tiny_dense())});
}

TEST_CASE("model catalogue: H01 architectures that are none") {
  const std::string key = "general.architecture";
  check(changed(
      "H01 missing", [&](GgufBuilder& f) { drop_key(f, key); }, kArch, key));
  check(changed(
      "H01 u32", [&](GgufBuilder& f) { f.key(key) = key_u32(key, 7); }, kArch, key));
  for (const std::string& name : {std::string("nosuch"), std::string(), std::string(1 << 20, 'a'),
                                  std::string("%s%n"), std::string("qwen3moe ")})
    check(changed(
        "H01 " + name.substr(0, 8), [&](GgufBuilder& f) { f.key(key) = key_string(key, name); },
        kArch, key));
}

TEST_CASE("model catalogue: H02 H03 H27 numbers of layers") {
  for (const uint32_t n : {0U, 100000U, 1U << 31, UINT32_MAX})
    check(with_u32("H02 " + std::to_string(n), "block_count", n, kHparam));
  for (const uint32_t n : {3U, 513U, 4096U})
    check(changed(
        "H03 " + std::to_string(n),
        [&](GgufBuilder& f) { f.key(full("block_count")) = key_u32(full("block_count"), n); },
        kMissing, "blk.2."));
  check(with_u32("H27 lead", "leading_dense_block_count", 3, kHparam));
  check(with_u32("H27 nextn", "nextn_predict_layers", 2, kHparam));
  check(with_u32("H27 nextn", "nextn_predict_layers", UINT32_MAX, kHparam));
  check(with_u32("H27 one block less", "nextn_predict_layers", 1));
}

TEST_CASE("model catalogue: H04 each required key") {
  for (const char* key :
       {"block_count", "context_length", "embedding_length", "attention.head_count",
        "attention.layer_norm_rms_epsilon", "expert_count", "expert_used_count"})
    check(changed(
        std::string("H04 ") + key, [&](GgufBuilder& f) { drop_key(f, full(key)); }, kHparam,
        full(key)));
  for (const TinyShape& shape : {tiny_dense(), tiny_mixtral()}) {
    const std::string key = shape.architecture + ".feed_forward_length";
    check(changed(
        "H04 " + key, [&](GgufBuilder& f) { drop_key(f, key); }, kHparam, key, shape));
  }
}

TEST_CASE("model catalogue: H05 integers of another type or kind") {
  for (const char* key :
       {"block_count", "context_length", "embedding_length", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "attention.key_length",
        "attention.value_length", "rope.dimension_count", "expert_count", "expert_used_count",
        "expert_feed_forward_length", "vocab_size"}) {
    const std::string id = std::string("H05 ") + key;
    check(with(id, key, key_string(full(key), "4"), kHparam));
    check(with(id, key, key_f32(full(key), kNan), kHparam));
    check(with(id, key, raw(full(key), kI32, le32(UINT32_MAX)), kHparam));
    check(with(id, key, key_bool(full(key), true), kHparam));
    check(with(id, key, key_array(full(key), kU32, 1, le32(4)), kHparam));
  }
}

TEST_CASE("model catalogue: H06 integers of other widths") {
  for (const char* key : {"block_count", "embedding_length", "attention.head_count"}) {
    const uint64_t value = std::string(key) == "block_count"        ? 2
                           : std::string(key) == "embedding_length" ? 32
                                                                    : 4;
    check(with("H06 u64", key, raw(full(key), kU64, le64(value))));
    check(with("H06 i64", key, raw(full(key), kI64, le64(value))));
    check(with("H06 u16", key, raw(full(key), kU16, le16(value))));
    check(with("H06 u8", key, raw(full(key), kU8, le8(value))));
  }
}

TEST_CASE("model catalogue: H07 H08 H09 H12 heads") {
  for (const uint32_t n : {0U, UINT32_MAX, 1U << 31})
    check(with_u32("H07 " + std::to_string(n), "attention.head_count", n, kHparam));
  check(changed(
      "H07 3",
      [](GgufBuilder& f) {
        f.key(full("attention.head_count")) = key_u32(full("attention.head_count"), 3);
      },
      kHparam, "attention.head_count"));
  for (const uint32_t n : {0U, 8U, 3U, UINT32_MAX})
    check(with_u32("H08 " + std::to_string(n), "attention.head_count_kv", n, kHparam));
  for (const uint64_t n : {1U, 3U}) {
    Bytes values;
    for (uint64_t i = 0; i < n; ++i) values += le32(4);
    check(with("H09 of " + std::to_string(n), "attention.head_count",
               key_array(full("attention.head_count"), kU32, n, values), kHparam));
  }
  check(with("H09 one a layer", "attention.head_count",
             key_array(full("attention.head_count"), kU32, 2, le32(4) + le32(4))));
  for (const char* key : {"attention.key_length", "attention.value_length"})
    for (const uint32_t n : {0U, 15U, 1U << 31})
      check(with_u32(std::string("H12 ") + key, key, n, kHparam));
}

TEST_CASE("model catalogue: H10 H11 widths") {
  for (const uint32_t n : {0U, 1U, 1U << 31})
    check(with_u32("H10 " + std::to_string(n), "embedding_length", n, kHparam));
  check(changed(
      "H10 34", [](GgufBuilder& f) { f.key(full("embedding_length")).value = le32(34); }, kShape,
      "token_embd.weight"));
  check(changed(
      "H10 no multiple of the heads",
      [](GgufBuilder& f) {
        drop_key(f, full("attention.key_length"));
        f.key(full("embedding_length")).value = le32(34);
      },
      kHparam, "attention.head_count"));
  for (const char* key : {"feed_forward_length", "expert_feed_forward_length"})
    check(with_u32(std::string("H11 ") + key, key, 0, kHparam));
  check(changed(
      "H11 mismatch",
      [](GgufBuilder& f) { f.key(full("expert_feed_forward_length")).value = le32(48); }, kShape,
      "blk.0.ffn_"));
  check(changed(
      "H11 dense mismatch",
      [](GgufBuilder& f) { f.key("qwen3.feed_forward_length").value = le32(48); }, kShape,
      "blk.0.ffn_", tiny_dense()));
}

TEST_CASE("model catalogue: H13 H14 H15 rotation") {
  for (const uint32_t n : {0U, 7U, 18U, UINT32_MAX})
    check(with_u32("H13 " + std::to_string(n), "rope.dimension_count", n, kHparam));
  for (const float base : {0.0F, -1.0F, kNan, kInfinity, 1e-45F})
    check(with_f32("H14 " + std::to_string(base), "rope.freq_base", base, kHparam));
  for (const float factor : {0.0F, kNan, -2.0F, kInfinity})
    check(with_f32("H15 " + std::to_string(factor), "rope.scaling.factor", factor, kHparam));
  check(
      with("H15 zzz", "rope.scaling.type", key_string(full("rope.scaling.type"), "zzz"), kHparam));
  check(changed(
      "H15 yarn without an original context",
      [](GgufBuilder& f) {
        f.key(full("rope.scaling.type")) = key_string(full("rope.scaling.type"), "yarn");
        f.key(full("rope.scaling.original_context_length")) =
            key_u32(full("rope.scaling.original_context_length"), 0);
      },
      kHparam, "rope.scaling.original_context_length"));
  check(changed("H15 sound yarn", [](GgufBuilder& f) {
    f.key(full("rope.scaling.type")) = key_string(full("rope.scaling.type"), "yarn");
    f.key(full("rope.scaling.factor")) = key_f32(full("rope.scaling.factor"), 4);
    f.key(full("rope.scaling.original_context_length")) =
        key_u32(full("rope.scaling.original_context_length"), 32);
  }));
  check(changed(
      "H15 longrope without factors",
      [](GgufBuilder& f) {
        f.key(full("rope.scaling.type")) = key_string(full("rope.scaling.type"), "longrope");
      },
      kMissing, "rope_factors_long"));
  check(changed(
      "factors that are not finite",
      [](GgufBuilder& f) {
        RawTensor& factors = f.tensor("rope_freqs.weight");
        factors.dims = {8};
        factors.data = random_floats(8, 1, 0);
        set_float(factors, 3, kNan);
      },
      kNumeric, "rope_freqs.weight"));
}

TEST_CASE("model catalogue: H16 H17 H18 epsilon, context, vocabulary") {
  for (const float epsilon : {kNan, -1.0F, kInfinity})
    check(with_f32("H16", "attention.layer_norm_rms_epsilon", epsilon, kHparam));
  check(with_f32("H16 zero", "attention.layer_norm_rms_epsilon", 0));
  check(with_u32("H17 0", "context_length", 0, kHparam));
  for (const uint32_t n : {1U << 31, UINT32_MAX})
    check(with_u32("H17 " + std::to_string(n), "context_length", n));
  check(with_u32("H18", "vocab_size", 259, {Cause::vocabulary}));
  check(with_u32("H18", "vocab_size", UINT32_MAX, {Cause::vocabulary, Cause::hyper_parameter}));
}

TEST_CASE("model catalogue: H19 H20 H22 H23 numbers of experts") {
  check(with_u32("H19 0", "expert_count", 0, kHparam));
  check(changed(
      "H19 0 where experts are optional",
      [](GgufBuilder& f) {
        f.key("llama.expert_count").value = le32(0);
        for (RawTensor& tensor : f.tensors)
          if (tensor.name.find("ffn_gate_exps") != std::string::npos)
            tensor.dims = {32, 32 * 4};  // a dense layer's tensors would be missing otherwise
      },
      {Cause::hyper_parameter, Cause::missing}, "blk.0.", tiny_mixtral()));
  check(changed(
      "H19 1", [](GgufBuilder& f) { f.key(full("expert_count")).value = le32(1); }, kHparam,
      "expert_used_count"));
  check(changed(
      "H19 3", [](GgufBuilder& f) { f.key(full("expert_count")).value = le32(3); }, kShape,
      "blk.0.ffn_gate_inp"));
  for (const uint32_t n : {100000U, 4097U, 1U << 31, UINT32_MAX})
    check(with_u32("H20 " + std::to_string(n), "expert_count", n, kHparam));
  for (const uint32_t n : {0U, 5U, UINT32_MAX})
    check(with_u32("H22 " + std::to_string(n), "expert_used_count", n, kHparam));
  check(changed(
      "experts in an architecture that has none",
      [](GgufBuilder& f) { f.keys.push_back(key_u32("qwen3.expert_count", 4)); }, kHparam,
      "qwen3.expert_count", tiny_dense()));
  check(with_u32("H23", "expert_used_count", 4));
  check(with_u32("one expert a token", "expert_used_count", 1));
}

TEST_CASE("model catalogue: H21 many experts") {
  for (const uint32_t n : {896U, 4096U}) {
    TinyShape shape;
    shape.n_layers = 1;
    shape.d_model = shape.d_ff = 16;
    shape.n_experts = n;
    shape.n_active = n == 896 ? 16 : 4096;
    check({"H21 " + std::to_string(n), tiny_model(shape)});
  }
}

TEST_CASE("model catalogue: H24 H25 H26 routing") {
  check(with_u32("H24 none", "expert_group_count", 0));
  check(with_u32("H24 none used", "expert_group_used_count", 0));
  check(with_u32("H24 3", "expert_group_count", 3, kHparam));
  check(with_u32("H24 used", "expert_group_used_count", 2, kHparam));
  check(changed("H24 sound", [](GgufBuilder& f) {
    f.key(full("expert_group_count")) = key_u32(full("expert_group_count"), 2);
    f.key(full("expert_group_used_count")) = key_u32(full("expert_group_used_count"), 1);
  }));
  check(changed(
      "H24 groups of which none is used",
      [](GgufBuilder& f) {
        f.key(full("expert_group_count")) = key_u32(full("expert_group_count"), 2);
        f.key(full("expert_group_used_count")) = key_u32(full("expert_group_used_count"), 0);
      },
      kHparam, "expert_group_used_count"));
  check(changed(
      "H24 fewer experts than are used",
      [](GgufBuilder& f) {
        f.key(full("expert_group_count")) = key_u32(full("expert_group_count"), 4);
        f.key(full("expert_group_used_count")) = key_u32(full("expert_group_used_count"), 1);
      },
      kHparam, "expert_group"));
  check(with_u32("H25 99", "expert_gating_func", 99, kHparam));
  check(with_u32("H25 the own of the architecture", "expert_gating_func", 0));
  check(with_u32("H25 sigmoid", "expert_gating_func", 2));
  for (const float scale : {kNan, -1.0F, kInfinity})
    check(with_f32("H25 scale", "expert_weights_scale", scale, kHparam));
  check(with_f32("H25 no scale", "expert_weights_scale", 0));
  check(changed(
      "H26",
      [](GgufBuilder& f) {
        f.key(full("expert_shared_count")) = key_u32(full("expert_shared_count"), 1);
      },
      kMissing, "shexp"));
}

TEST_CASE("model catalogue: no claim of a file makes memory") {
  rusage before = {}, after = {};
  getrusage(RUSAGE_SELF, &before);
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, uint32_t>>{{"block_count", 4096},
                                                     {"context_length", UINT32_MAX},
                                                     {"embedding_length", 1U << 20},
                                                     {"attention.head_count", 1U << 14},
                                                     {"attention.key_length", 1U << 14},
                                                     {"expert_count", 4096},
                                                     {"vocab_size", 260}})
    open_model(changed("", [&, k = key, v = value](GgufBuilder& f) {
                 f.key(full(k)) = key_u32(full(k), v);
               }).file);
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss <= 64 * 1024);  // KiB
}
