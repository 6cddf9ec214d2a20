// The layouts that files of one model are found in: every one of them gives the same bits.
#include <doctest/doctest.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "tests/file_copy.h"
#include "tests/golden_case.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::tests;

namespace {

const std::vector<int32_t> kTokens = {5, 80, 11, 300, 42, 7, 199, 23, 64};

// A golden's model, to be laid out anew, and what it answers as it is.
struct Layout {
  GgufBuilder file;
  PromptTrace expected;
};

PromptTrace answer(const std::shared_ptr<const runtime::Model>& model) {
  RunOptions options;
  options.forward.arithmetic = quant::Arithmetic::exact;
  return run_tokens(model, kTokens, options);
}

std::optional<Layout> layout_of(const std::string& name) {
  std::optional<GgufBuilder> file = copy_of_golden(name);
  if (!file) {
    MESSAGE("skipped: no reference data for ", name);
    return std::nullopt;
  }
  const OpenedModel opened = open_model(*file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  return Layout{std::move(*file), answer(*opened.model)};
}

void check_same_bits(const Layout& layout) {
  const OpenedModel opened = open_model(layout.file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  CHECK((*opened.model)->warnings().empty());
  const PromptTrace got = answer(*opened.model);
  CHECK(got.logits == layout.expected.logits);
  for (size_t l = 0; l < got.layers.size(); ++l) {
    CHECK(got.layers[l].experts == layout.expected.layers[l].experts);
    CHECK(got.layers[l].out == layout.expected.layers[l].out);
  }
}

void check_refused(const GgufBuilder& file, Cause cause, const std::string& subject) {
  const OpenedModel opened = open_model(file);
  REQUIRE_FALSE(opened.model.ok());
  INFO(opened.model.status().to_string());
  CHECK(opened.model.status().cause() == cause);
  CHECK(opened.model.status().detail().subject.find(subject) != std::string::npos);
}

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
