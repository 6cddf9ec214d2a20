// Where files have a layer's experts: in stacks, in tensors of their own, in other parts.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/file_layout.h"
#include "tests/temporary_directory.h"

using namespace larder;
using namespace larder::tests;

namespace {

// Every layer's stacks as tensors of each expert, in the order of the experts, so that the matrices
// of one stack are not neighbours.
void take_experts_apart(GgufBuilder& file) {
  std::vector<RawTensor> tensors;
  for (const RawTensor& tensor : file.tensors) {
    if (!tensor.name.ends_with("ffn_gate_exps.weight") &&
        !tensor.name.ends_with("ffn_up_exps.weight") &&
        !tensor.name.ends_with("ffn_down_exps.weight")) {
      tensors.push_back(tensor);
      continue;
    }
    if (!tensor.name.ends_with("ffn_gate_exps.weight")) continue;
    const std::string block = tensor.name.substr(0, tensor.name.find("ffn_"));
    for (uint64_t e = 0; e < tensor.dims[2]; ++e) {
      for (const char* kind : {"ffn_gate", "ffn_down", "ffn_up"}) {
        const RawTensor* stack = find_tensor(file, block + kind + "_exps.weight");
        REQUIRE(stack != nullptr);
        RawTensor one = *stack;
        one.name = block + kind + "." + std::to_string(e) + ".weight";
        one.dims.pop_back();
        const size_t size_bytes = stack->data.size() / stack->dims[2];
        one.data = stack->data.substr(size_bytes * e, size_bytes);
        tensors.push_back(std::move(one));
      }
    }
  }
  file.tensors = std::move(tensors);
}

}  // namespace

TEST_CASE("file layouts: experts in tensors of their own") {
  for (const char* name : {"mixtral", "mixtral-256", "qwen3moe-quant"}) {
    CAPTURE(name);
    std::optional<Layout> layout = layout_of(name);
    if (!layout) continue;
    take_experts_apart(layout->file);
    check_same_bits(*layout);
  }
}

TEST_CASE("file layouts: an expert's range is where the file has its matrix") {
  std::vector<GgufBuilder> files;
  for (const char* name : {"mixtral", "gpt-oss-mxfp4"}) {
    std::optional<GgufBuilder> one = copy_of_golden(name);
    if (!one) return;
    files.push_back(*one);
    if (std::string(name) == "mixtral") {
      take_experts_apart(*one);
      files.push_back(*one);
    }
  }
  for (const GgufBuilder& one : files) {
    const OpenedModel opened = open_model(one);
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    for (const runtime::LayerWeights& layer : (*opened.model)->weights().layers) {
      for (const runtime::ExpertStack* stack : {&layer.gate, &layer.up, &layer.down}) {
        for (int32_t e = 0; e < stack->n_experts(); ++e) {
          const runtime::FileRange range = stack->range(e);
          const quant::Matrix matrix = stack->expert(e);
          REQUIRE(range.size_bytes == matrix.bytes());
          REQUIRE(range.offset + range.size_bytes <= opened.bytes->size());
          CHECK(std::memcmp(opened.bytes->data() + range.offset, matrix.data, matrix.bytes()) == 0);
        }
      }
    }
  }
}

TEST_CASE("file layouts: experts in tensors of their own, badly") {
  std::optional<Layout> layout = layout_of("mixtral");
  if (!layout) return;
  take_experts_apart(layout->file);
  const auto refused = [&](auto&& change, Cause cause, const std::string& subject) {
    GgufBuilder file = layout->file;
    change(file);
    check_refused(file, cause, subject);
  };
  for (const char* name : {"blk.1.ffn_up.2.weight", "blk.0.ffn_down.0.weight"})
    refused([&](GgufBuilder& file) { drop_tensor(file, name); }, Cause::missing, "blk.");
  refused(
      [](GgufBuilder& file) {
        RawTensor& tensor = file.tensor("blk.1.ffn_down.1.weight");
        std::swap(tensor.dims[0], tensor.dims[1]);
      },
      Cause::shape, "blk.1.ffn_down.1.weight");
  refused(
      [](GgufBuilder& file) {
        RawTensor& tensor = file.tensor("blk.1.ffn_gate.3.weight");
        tensor.type = 30;  // BF16, half the bytes
        tensor.data.resize(tensor.data.size() / 2);
      },
      Cause::tensor_type, "blk.1.ffn_gate.3.weight");
  refused(
      [](GgufBuilder& file) {
        RawTensor stack = file.tensor("blk.0.ffn_gate.0.weight");
        stack.name = "blk.0.ffn_gate_exps.weight";
        file.tensors.push_back(stack);
      },
      Cause::unsupported, "blk.0.ffn_gate_exps.weight");
}

TEST_CASE("file layouts: experts in other parts of a split file") {
  for (const bool is_apart : {false, true}) {
    std::optional<Layout> layout = layout_of("mixtral");
    if (!layout) return;
    if (is_apart) take_experts_apart(layout->file);
    // the keys alone, and every third tensor in each of the other parts
    std::array<GgufBuilder, 4> parts;
    parts[0].keys = layout->file.keys;
    for (size_t i = 0; i < layout->file.tensors.size(); ++i)
      parts[1 + i % 3].tensors.push_back(layout->file.tensors[i]);
    const TemporaryDirectory directory;
    for (size_t i = 0; i < parts.size(); ++i) {
      parts[i].keys.push_back({"split.no", kU16, le16(i)});
      parts[i].keys.push_back({"split.count", kU16, le16(parts.size())});
      parts[i].keys.push_back({"split.tensors.count", kI32, le32(layout->file.tensors.size())});
      directory.write("m-0000" + std::to_string(i + 1) + "-of-00004.gguf", parts[i].build());
    }
    const auto model = runtime::Model::open(directory.path("m-00001-of-00004.gguf"));
    REQUIRE_MESSAGE(model.ok(), model.status().to_string());
    CHECK(answer(*model).logits == layout->expected.logits);
    std::set<int32_t> shards;
    for (const runtime::LayerWeights& layer : (*model)->weights().layers)
      for (int32_t e = 0; e < layer.down.n_experts(); ++e) {
        const runtime::FileRange range = layer.down.range(e);
        shards.insert(range.shard);
        const Bytes part = parts[static_cast<size_t>(range.shard)].build();
        REQUIRE(range.offset + range.size_bytes <= part.size());
        CHECK(std::memcmp(part.data() + range.offset, layer.down.expert(e).data,
                          range.size_bytes) == 0);
      }
    CHECK(shards.size() > 1);
  }
}

// What a quantiser does to rows that are no multiple of 256: 32 values a block.
