// The catalogue of malformed tensors: shapes, types, places and numbers.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "tests/model_catalogue.h"

using namespace larder;
using namespace larder::tests;

namespace {

constexpr uint32_t kF16 = 1, kQ8_0 = 8;  // tensor type ids

// A tensor given other dims, and data to match.
void reshape(GgufBuilder& file, const std::string& name, std::vector<uint64_t> dims) {
  RawTensor& tensor = file.tensor(name);
  uint64_t n = 1;
  for (const uint64_t dim : dims) n *= dim;
  tensor.dims = std::move(dims);
  tensor.data = random_floats(n, 5, 0.3F);
}

// float32 data as Q8_0: blocks of a float16 scale and 32 int8, all scales equal.
void make_q8_0(RawTensor& tensor, uint16_t scale_bits) {
  const size_t n_blocks = tensor.data.size() / 4 / 32;
  tensor.type = kQ8_0;
  tensor.data.clear();
  for (size_t b = 0; b < n_blocks; ++b) {
    tensor.data += le16(scale_bits);
    for (uint64_t i = 0; i < 32; ++i) tensor.data += le8((b * 37 + i * 11) % 250 - 125);
  }
}

void make_f16_ones(RawTensor& tensor) {
  const size_t n = tensor.data.size() / 4;
  tensor.type = kF16;
  tensor.data.clear();
  for (size_t i = 0; i < n; ++i) tensor.data += le16(i % 3 ? 0x2E66 : 0xAE66);  // +-0.1
}

}  // namespace

TEST_CASE("weights catalogue: H28 to H36 shapes") {
  const auto shaped = [](const std::string& id, const std::string& name,
                         std::vector<uint64_t> dims) {
    check(changed(
        id, [&](GgufBuilder& f) { reshape(f, name, dims); }, kShape, name));
  };
  shaped("H28", "blk.1.ffn_gate_inp.weight", {32, 5});
  for (const char* name :
       {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight", "blk.1.ffn_down_exps.weight"})
    shaped("H29", name, {32, 32, 3});
  shaped("H30 ne0", "blk.0.ffn_up_exps.weight", {64, 32, 4});
  check(changed("H30 H31 types", [](GgufBuilder& f) {
    make_f16_ones(f.tensor("blk.0.ffn_up_exps.weight"));
    make_q8_0(f.tensor("blk.1.ffn_down_exps.weight"), 0x1400);
  }));
  check(changed(
      "H32",
      [](GgufBuilder& f) {
        RawTensor& tensor = f.tensor("blk.0.ffn_up_exps.weight");
        tensor.type = kQ8_0;
        tensor.dims = {33, 32, 4};
      },
      {Cause::block}, "blk.0.ffn_up_exps.weight"));
  shaped("H35 transposed", "token_embd.weight", {260, 32});
  shaped("H35 fewer rows", "token_embd.weight", {32, 200});
  shaped("H35 1-D", "token_embd.weight", {32 * 260});
  shaped("H36 1-D", "blk.0.attn_q.weight", {32 * 64});
  shaped("H36 split", "blk.0.attn_q.weight", {32, 32});
  shaped("H36 kv", "blk.0.attn_k.weight", {32, 64});
  shaped("4-D", "blk.0.attn_q.weight", {32, 64, 1, 2});
}

TEST_CASE("weights catalogue: H33 H34 places of data") {
  const Bytes whole = tiny_model().build();
  Bytes cut = whole.substr(0, whole.size() - 600);
  const auto file =
      formats::GgufFile::parse(std::as_bytes(std::span(cut.data(), cut.size())), "cut");
  REQUIRE_FALSE(file.ok());
  CHECK((file.status().cause() == Cause::truncated || file.status().cause() == Cause::offset));
  GgufBuilder odd = tiny_model();
  odd.alignment = 8;
  odd.keys.push_back(key_u32("general.alignment", 8));
  check({"H34", odd});
}

TEST_CASE("weights catalogue: H37 H38 H39 presence and types of tensors") {
  for (const TinyShape& shape :
       {TinyShape{}, tiny_mixtral(), tiny_dense(), tiny_gpt_oss(), tiny_phimoe()})
    for (const RawTensor& tensor : tiny_model(shape).tensors)
      if (tensor.name != "output.weight" && !tensor.name.ends_with(".bias"))
        check(changed(
            "H37 " + tensor.name, [&](GgufBuilder& f) { drop_tensor(f, tensor.name); }, kMissing,
            tensor.name, shape));
  check(changed("H37 tied", [](GgufBuilder& f) { drop_tensor(f, "output.weight"); }));

  GgufBuilder extra = tiny_model();
  extra.tensors.push_back(tensor_f32("blk.0.surprise.weight", {4}));
  const OpenedModel opened = open_model(extra);
  REQUIRE(opened.model.ok());
  REQUIRE((*opened.model)->warnings().size() == 1);
  CHECK((*opened.model)->warnings()[0].find("blk.0.surprise.weight") != std::string::npos);

  for (const char* name : {"blk.0.attn_norm.weight", "blk.1.ffn_gate_inp.weight"})
    check(changed(
        std::string("H39 ") + name, [&](GgufBuilder& f) { make_q8_0(f.tensor(name), 0x3C00); },
        kType, name));
  check(changed(
      "no kernels for a type",
      [](GgufBuilder& f) {
        RawTensor& tensor = f.tensor("blk.0.attn_q.weight");
        tensor.type = 24;  // I8
        tensor.data.resize(tensor.data.size() / 4);
      },
      kType, "blk.0.attn_q.weight"));
}

TEST_CASE("weights catalogue: H40 H41 H42 H44 numbers in weights") {
  const std::string router = "blk.1.ffn_gate_inp.weight";
  check(changed(
      "H40 all NaN",
      [&](GgufBuilder& f) {
        for (uint64_t i = 0; i < 32 * 4; ++i) set_float(f.tensor(router), i, kNan);
      },
      kNumeric, router));
  for (const float value : {kNan, kInfinity, -kInfinity})
    check(changed(
        "H40 one", [&](GgufBuilder& f) { set_float(f.tensor(router), 37, value); }, kNumeric,
        router));
  check(changed("H41 ties", [&](GgufBuilder& f) {
    for (uint64_t i = 0; i < 32 * 4; ++i) set_float(f.tensor(router), i, 0);
  }));
  check(changed(
      "H42 used", [](GgufBuilder& f) { set_float(f.tensor("token_embd.weight"), 2 * 32, kNan); },
      kNumeric, "token_embd.weight"));
  check(changed("H42 not used", [](GgufBuilder& f) {
    drop_tensor(f, "nothing");
    set_float(f.tensor("token_embd.weight"), 9 * 32, kNan);
  }));
  check(changed("H44 zeros", [](GgufBuilder& f) {
    for (RawTensor& tensor : f.tensors) tensor.data.assign(tensor.data.size(), '\0');
  }));
  for (const char* name : {"blk.0.attn_norm.weight", "blk.0.attn_v.weight", "blk.0.ffn_norm.weight",
                           "blk.0.ffn_down_exps.weight"})
    check(changed(
        std::string("NaN in ") + name,
        [&](GgufBuilder& f) {
          RawTensor& tensor = f.tensor(name);
          for (uint64_t i = 0; i < tensor.data.size() / 4; ++i) set_float(tensor, i, kNan);
        },
        kNumeric, "0"));
  check(changed(
      "NaN in the head", [](GgufBuilder& f) { set_float(f.tensor("output.weight"), 40, kNan); },
      kNumeric, "output.weight"));
}

TEST_CASE("weights catalogue: H43 scales of blocks") {
  const auto scaled = [](uint16_t bits, std::vector<Cause> causes) {
    check(changed(
        "H43 " + std::to_string(bits),
        [&](GgufBuilder& f) { make_q8_0(f.tensor("blk.0.attn_v.weight"), bits); }, causes,
        causes.empty() ? "" : "layer 0"));
  };
  scaled(0x7E00, kNumeric);  // NaN
  scaled(0x7C00, kNumeric);  // infinite
  scaled(0xFC00, kNumeric);
  scaled(0x8000, {});  // -0
  scaled(0x0001, {});  // the least subnormal
}
