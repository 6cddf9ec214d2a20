// The layouts that files of one model are found in: every one of them gives the same bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quant/dispatch.h"
#include "quant/reference.h"
#include "tests/file_layout.h"

using namespace larder;
using namespace larder::tests;

namespace {

// Each layer's tensors of these names, one behind another along their rows, under one name.
void fuse(GgufBuilder& file, const std::vector<std::string>& from, const std::string& to,
          const std::string& ending) {
  std::vector<RawTensor> tensors;
  for (const RawTensor& tensor : file.tensors) {
    const std::string block = tensor.name.substr(0, tensor.name.find('.', 4) + 1);
    const auto part = std::find(
        from.begin(), from.end(),
        tensor.name.substr(block.size(), tensor.name.size() - block.size() - ending.size()));
    const bool is_part = tensor.name.starts_with("blk.") && tensor.name.ends_with(ending) &&
                         part != from.end() && find_tensor(file, block + from.back() + ending);
    if (!is_part) {
      tensors.push_back(tensor);
      continue;
    }
    if (part != from.begin()) continue;
    // rows are the second dim of matrices and stacks, the first of biases
    RawTensor whole = tensor;
    whole.name = block + to + ending;
    const size_t rows = ending == ".bias" ? 0 : 1;
    const uint64_t n_slabs = tensor.dims.size() > rows + 1 ? tensor.dims[rows + 1] : 1;
    whole.dims[rows] = 0;
    whole.data.clear();
    for (const std::string& name : from)
      whole.dims[rows] += find_tensor(file, block + name + ending)->dims[rows];
    for (uint64_t slab = 0; slab < n_slabs; ++slab)
      for (const std::string& name : from) {
        const Bytes& data = find_tensor(file, block + name + ending)->data;
        whole.data += data.substr(data.size() / n_slabs * slab, data.size() / n_slabs);
      }
    tensors.push_back(std::move(whole));
  }
  file.tensors = std::move(tensors);
}

bool has_key(const GgufBuilder& file, const std::string& name) {
  return std::any_of(file.keys.begin(), file.keys.end(),
                     [&](const RawKey& key) { return key.key == name; });
}

uint32_t number(GgufBuilder& file, const std::string& name) {
  uint32_t value = 0;
  std::memcpy(&value, file.key(name).value.data(), sizeof value);
  return value;
}

std::string architecture_of(GgufBuilder& file) {
  return file.key("general.architecture").value.substr(8);
}

bool is_matrix(const RawTensor& tensor) {
  return tensor.type == 0 && tensor.dims.size() > 1 && tensor.name.ends_with(".weight") &&
         tensor.name.find("ffn_gate_inp") == std::string::npos;
}

// The tensor in a format's blocks, and what these mean in float32.
void round_to(quant::Format format, RawTensor& blocks, RawTensor& floats) {
  const auto n = static_cast<int64_t>(blocks.data.size() / sizeof(float));
  std::vector<float> values(static_cast<size_t>(n));
  std::memcpy(values.data(), blocks.data.data(), blocks.data.size());
  Bytes rounded(quant::row_bytes(format, n), '\0');
  quant::reference::quantize(format, values.data(), n, reinterpret_cast<uint8_t*>(rounded.data()));
  quant::best_kernels().vector.dequantize(format, reinterpret_cast<const uint8_t*>(rounded.data()),
                                          n, values.data());
  blocks.type = static_cast<uint32_t>(format);
  blocks.data = std::move(rounded);
  std::memcpy(floats.data.data(), values.data(), floats.data.size());
}

}  // namespace

TEST_CASE("file layouts: q, k and v, gate and up, in one tensor") {
  for (const char* name : {"mixtral", "qwen3moe-256", "phimoe", "gpt-oss", "deepseek-v3"}) {
    CAPTURE(name);
    std::optional<Layout> layout = layout_of(name);
    if (!layout) continue;
    for (const char* ending : {".weight", ".bias"}) {
      fuse(layout->file, {"attn_q", "attn_k", "attn_v"}, "attn_qkv", ending);
      fuse(layout->file, {"ffn_gate_exps", "ffn_up_exps"}, "ffn_gate_up_exps", ending);
    }
    REQUIRE(find_tensor(layout->file, "blk.1.ffn_gate_up_exps.weight") != nullptr);
    check_same_bits(*layout);
  }
}

TEST_CASE("file layouts: a number for all layers, or one a layer") {
  for (const char* name : {"mixtral", "qwen3moe", "gpt-oss", "glm4moe"}) {
    CAPTURE(name);
    std::optional<Layout> layout = layout_of(name);
    if (!layout) continue;
    const std::string arch = architecture_of(layout->file);
    const uint32_t n_blocks = number(layout->file, arch + ".block_count");
    for (const char* key : {"feed_forward_length", "attention.head_count",
                            "attention.head_count_kv", "expert_feed_forward_length"}) {
      const std::string full_key = arch + "." + key;
      if (!has_key(layout->file, full_key)) continue;
      Bytes numbers;
      for (uint32_t i = 0; i < n_blocks; ++i) numbers += le32(number(layout->file, full_key));
      layout->file.key(full_key) = key_array(full_key, kI32, n_blocks, numbers);
    }
    if (arch == "gpt-oss") {
      Bytes flags;
      for (uint32_t i = 0; i < n_blocks; ++i) flags += le8(i % 2 == 0);
      const std::string pattern = arch + ".attention.sliding_window_pattern";
      layout->file.key(pattern) = key_array(pattern, kBool, n_blocks, flags);
    }
    check_same_bits(*layout);
  }
}

TEST_CASE("file layouts: gating function 0 is the architecture's own") {
  for (const char* name : {"mixtral", "gpt-oss", "glm4moe", "phimoe", "deepseek-v3"}) {
    CAPTURE(name);
    std::optional<Layout> layout = layout_of(name);
    if (!layout) continue;
    const std::string key = architecture_of(layout->file) + ".expert_gating_func";
    layout->file.key(key) = key_u32(key, 0);
    check_same_bits(*layout);
  }
}

TEST_CASE("file layouts: keys and values of latent attention in both forms") {
  std::optional<Layout> layout = layout_of("deepseek-v2-lite");
  const std::optional<GgufBuilder> legacy = copy_of_golden("deepseek-v2-lite-legacy");
  if (!layout || !legacy) return;
  for (const RawTensor& tensor : legacy->tensors)
    if (tensor.name.ends_with("attn_kv_b.weight")) layout->file.tensors.push_back(tensor);
  const OpenedModel opened = open_model(layout->file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  CHECK_FALSE((*opened.model)->warnings().empty());
  CHECK(answer(*opened.model).logits == layout->expected.logits);
}

TEST_CASE("file layouts: blocks that predict further tokens are left out") {
  for (const char* name : {"qwen3moe", "deepseek-v3", "gpt-oss"}) {
    CAPTURE(name);
    std::optional<Layout> layout = layout_of(name);
    if (!layout) continue;
    const std::string arch = architecture_of(layout->file);
    const uint32_t n_blocks = number(layout->file, arch + ".block_count");
    const std::string last = "blk." + std::to_string(n_blocks - 1) + ".";
    const std::string next = "blk." + std::to_string(n_blocks) + ".";
    const std::vector<RawTensor> tensors = layout->file.tensors;
    for (RawTensor tensor : tensors) {
      if (!tensor.name.starts_with(last)) continue;
      tensor.name = next + tensor.name.substr(last.size());
      layout->file.tensors.push_back(tensor);
    }
    layout->file.tensors.push_back(tensor_f32(next + "nextn.enorm.weight", {8}));
    layout->file.key(arch + ".block_count") = key_u32(arch + ".block_count", n_blocks + 1);
    layout->file.key(arch + ".nextn_predict_layers") = key_u32(arch + ".nextn_predict_layers", 1);
    check_same_bits(*layout);
  }
}

TEST_CASE("file layouts: rows that K-quants do not fit are in blocks of 32") {
  for (const char* name : {"mixtral", "qwen2moe", "deepseek-v2-lite", "gpt-oss"}) {
    CAPTURE(name);
    const std::optional<GgufBuilder> sound = copy_of_golden(name);
    if (!sound) continue;
    GgufBuilder blocks = *sound, floats = *sound;
    size_t n_rounded = 0;
    for (size_t i = 0; i < sound->tensors.size(); ++i) {
      const RawTensor& tensor = sound->tensors[i];
      if (!is_matrix(tensor) || tensor.dims[0] % 32 != 0) continue;
      CHECK(tensor.dims[0] % 256 != 0);
      constexpr std::array kFormats = {quant::Format::q5_0, quant::Format::q8_0,
                                       quant::Format::q5_1, quant::Format::q4_0,
                                       quant::Format::iq4_nl};
      round_to(kFormats[n_rounded++ % kFormats.size()], blocks.tensors[i], floats.tensors[i]);
    }
    CHECK(n_rounded > 10);
    const OpenedModel rounded = open_model(blocks), expected = open_model(floats);
    REQUIRE_MESSAGE(rounded.model.ok(), rounded.model.status().to_string());
    REQUIRE_MESSAGE(expected.model.ok(), expected.model.status().to_string());
    const PromptTrace a = answer(*rounded.model), b = answer(*expected.model);
    float most = 0;
    for (size_t i = 0; i < a.logits.size(); ++i)
      most = std::max(most, std::abs(a.logits[i] - b.logits[i]));
    // the goldens' tolerances: two orders of summation in float32
    CHECK(most < 2e-4F);
  }
}

TEST_CASE("file layouts: a file without what its model was trained with is refused") {
  const std::pair<const char*, const char*> kAbsent[] = {
      {"gpt-oss", "blk.1.attn_q.bias"},
      {"gpt-oss", "blk.0.attn_output.bias"},
      {"gpt-oss", "blk.2.ffn_gate_inp.bias"},
      {"gpt-oss", "blk.1.ffn_down_exps.bias"},
      {"gpt-oss", "blk.1.ffn_gate_exps.bias"},
      {"gpt-oss", "blk.1.attn_sinks.weight"},
      {"phimoe", "blk.1.attn_norm.bias"},
      {"phimoe", "blk.1.attn_v.bias"},
      {"phimoe", "output.bias"},
      {"phimoe", "output_norm.bias"},
      {"qwen2moe", "blk.1.attn_k.bias"},
      {"qwen2moe", "blk.1.ffn_gate_inp_shexp.weight"},
      {"minimax-m2", "blk.0.exp_probs_b.bias"},
  };
  for (const auto& [name, tensor] : kAbsent) {
    CAPTURE(name);
    std::optional<GgufBuilder> file = copy_of_golden(name);
    if (!file) continue;
    REQUIRE(find_tensor(*file, tensor) != nullptr);
    drop_tensor(*file, tensor);
    check_refused(*file, Cause::missing, tensor);
  }
}

TEST_CASE("file layouts: windowed layers that rotate by another base are refused") {
  std::optional<Layout> layout = layout_of("gpt-oss");
  if (!layout) return;
  const auto with = [&](const RawKey& key) {
    GgufBuilder file = layout->file;
    file.key(key.key) = key;
    return file;
  };
  layout->file = with(key_f32("gpt-oss.rope.freq_base_swa", 150000));
  check_same_bits(*layout);
  check_refused(with(key_f32("gpt-oss.rope.freq_base_swa", 10000)), Cause::hyper_parameter,
                "rope.freq_base_swa");
  check_refused(with(key_u32("gpt-oss.attention.key_length_swa", 128)), Cause::hyper_parameter,
                "attention.key_length_swa");
}
