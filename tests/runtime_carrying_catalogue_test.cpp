// The catalogue of malformed models, for layers that carry a state.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/carrying_model.h"
#include "tests/model_catalogue.h"

using namespace larder;
using namespace larder::tests;

namespace {

const std::vector<Cause> kUnsupported = {Cause::unsupported};

template <class F>
void check_changed(GgufBuilder file, const std::string& subject, const std::vector<Cause>& causes,
                   F&& change) {
  change(file);
  check({subject, std::move(file), causes, subject});
}

void check_key(const GgufBuilder& file, const RawKey& key, const std::vector<Cause>& causes) {
  check_changed(file, key.key, causes, [&](GgufBuilder& f) { f.key(key.key) = key; });
}

// Every tensor of the first layer whose name has this in it: absent, one row short, one column
// short, and of NaN.
void check_tensors(const GgufBuilder& file, const std::vector<std::string>& stems) {
  for (const std::string& stem : stems) {
    const std::string name = "blk.0." + stem;
    const bool is_fused = stem == "ssm_ba.weight";  // without it, what it fuses is looked for
    check_changed(file, is_fused ? "blk.0.ssm_beta.weight" : name, kMissing,
                  [&](GgufBuilder& f) { drop_tensor(f, name); });
    for (size_t dim = 0; dim < 2; ++dim)
      for (const int step : {-1, 1})
        check_changed(file, name, kShape, [&](GgufBuilder& f) {
          RawTensor& tensor = f.tensor(name);
          if (dim < tensor.dims.size())
            tensor.dims[dim] += static_cast<uint64_t>(step);
          else
            tensor.dims.push_back(2);
          uint64_t n = 1;
          for (const uint64_t d : tensor.dims) n *= d;
          tensor.data = random_floats(n, 3, 0.1F);
        });
    GgufBuilder poisoned = file;
    RawTensor& tensor = poisoned.tensor(name);
    for (uint64_t i = 0; i < tensor.data.size() / 4; ++i) set_float(tensor, i, kNan);
    check({name + " of NaN", poisoned, kNumeric, "layer 0"});
  }
}

}  // namespace

TEST_CASE("carrying catalogue: the unchanged files open and answer") {
  check({"short convolution", tiny_short_convolution()});
  check({"delta net, fused rates", tiny_delta_net(Rates::fused)});
  check({"delta net, split rates", tiny_delta_net(Rates::split)});
}

TEST_CASE("carrying catalogue: tensors of a short convolution") {
  check_tensors(tiny_short_convolution(),
                {"shortconv.in_proj.weight", "shortconv.conv.weight", "shortconv.out_proj.weight"});
}

TEST_CASE("carrying catalogue: tensors of a delta net") {
  check_tensors(tiny_delta_net(Rates::fused),
                {"attn_qkv.weight", "attn_gate.weight", "ssm_conv1d.weight", "ssm_ba.weight",
                 "ssm_dt.bias", "ssm_a", "ssm_norm.weight", "ssm_out.weight"});
  check_tensors(tiny_delta_net(Rates::split), {"ssm_beta.weight", "ssm_alpha.weight"});
}

TEST_CASE("carrying catalogue: which layers carry a state") {
  const std::string key = "lfm2moe.attention.head_count_kv";
  const GgufBuilder file = tiny_short_convolution();
  check_key(file, key_array(key, kU32, 1, le32(0)), kHparam);
  check_key(file, key_array(key, kU32, 2, le32(0) + le32(3)), kHparam);
  check_key(file, key_string(key, "0"), kHparam);
  const auto with_heads = [&](uint32_t first, uint32_t second) {
    GgufBuilder changed = file;
    changed.key(key) = key_array(key, kU32, 2, le32(first) + le32(second));
    return changed;
  };
  check({"all carry", with_heads(0, 0), kMissing, "blk.1.shortconv"});
  check({"none carries", with_heads(2, 2), kMissing, "blk.0.attn_q"});
  check_key(tiny_model(), key_u32(full("attention.head_count_kv"), 0), kHparam);

  const GgufBuilder delta = tiny_delta_net(Rates::split);
  const std::string interval = "qwen35moe.full_attention_interval";
  const std::string flags = "qwen35moe.attention.recurrent_layers";
  check_key(delta, key_u32(interval, 0), kHparam);
  check_key(delta, key_u32(interval, 1U << 30), kHparam);
  check_key(delta, key_string(interval, "2"), kHparam);
  check_key(delta, key_array(flags, kBool, 3, le8(1) + le8(0) + le8(0)), kHparam);
  check_key(delta, key_u32(flags, 1), kHparam);
  check_key(delta, key_array(flags, kBool, 2, le8(1) + le8(0)), {});
  check_changed(delta, "blk.1.attn_qkv", kMissing, [&](GgufBuilder& f) { drop_key(f, interval); });
}

TEST_CASE("carrying catalogue: widths, heads and taps") {
  const GgufBuilder convolution = tiny_short_convolution();
  const std::string taps = "lfm2moe.shortconv.l_cache";
  check_changed(convolution, taps, kHparam, [&](GgufBuilder& f) { drop_key(f, taps); });
  for (const uint32_t n : {0U, 1U, 17U, UINT32_MAX})
    check_key(convolution, key_u32(taps, n), kHparam);
  check_changed(convolution, "shortconv.conv.weight", kShape,
                [&](GgufBuilder& f) { f.key(taps) = key_u32(taps, 4); });

  const GgufBuilder delta = tiny_delta_net(Rates::fused);
  for (const char* name : {"ssm.conv_kernel", "ssm.state_size", "ssm.group_count",
                           "ssm.time_step_rank", "ssm.inner_size"}) {
    const std::string key = std::string("qwen3next.") + name;
    check_changed(delta, key, kHparam, [&](GgufBuilder& f) { drop_key(f, key); });
    for (const uint32_t n : {0U, 1U << 30, UINT32_MAX}) check_key(delta, key_u32(key, n), kHparam);
    check_key(delta, key_string(key, "4"), kHparam);
    check_key(delta, key_f32(key, kNan), kHparam);
  }
  check_key(delta, key_u32("qwen3next.ssm.group_count", 3), kHparam);
  check_key(delta, key_u32("qwen3next.ssm.inner_size", 33), kHparam);
  const auto check_shape = [&](const char* name, uint32_t value) {
    check_changed(delta, "blk.0.", kShape, [&](GgufBuilder& f) {
      f.key(std::string("qwen3next.") + name) = key_u32(std::string("qwen3next.") + name, value);
    });
  };
  check_shape("ssm.state_size", 1U << 14);
  check_shape("ssm.inner_size", 1U << 20);
  check_shape("ssm.group_count", 4);
}

TEST_CASE("carrying catalogue: tensors of other mixers do not belong") {
  const auto check_extra = [](GgufBuilder file, const char* name, std::vector<uint64_t> dims) {
    uint64_t n = 1;
    for (const uint64_t dim : dims) n *= dim;
    file.tensors.push_back({.name = name, .dims = dims, .data = random_floats(n, 3, 0.1F)});
    check({name, std::move(file), kUnsupported, name});
  };
  check_extra(tiny_short_convolution(), "blk.0.attn_k.weight", {32, 32});
  check_extra(tiny_short_convolution(), "blk.1.shortconv.conv.weight", {3, 32});
  check_extra(tiny_delta_net(Rates::fused), "blk.0.ssm_beta.weight", {32, 4});
  check_extra(tiny_delta_net(Rates::fused), "blk.1.ssm_a", {4});
  check_extra(tiny_model(), "blk.0.ssm_norm.weight", {8});
}

TEST_CASE("carrying catalogue: a state that grows without bounds is an error, not an answer") {
  GgufBuilder file = tiny_delta_net(Rates::fused);
  for (uint64_t i = 0; i < 4; ++i) set_float(file.tensor("blk.0.ssm_a"), i, 1e30F);
  check({"growing", file, kNumeric, "layer 0"});
}

TEST_CASE("carrying catalogue: the final norm has one of two names") {
  GgufBuilder file = tiny_short_convolution();
  drop_tensor(file, "token_embd_norm.weight");
  check({"neither", file, kMissing, "output_norm.weight"});
}
