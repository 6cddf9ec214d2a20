// Hugging Face folders of the goldens' weights, converted: the same tensors, keys and answers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "quant/dispatch.h"
#include "runtime/convert/checkpoint_convert.h"
#include "runtime/convert/element_reader.h"
#include "tests/golden_case.h"
#include "tests/temporary_directory.h"

namespace fs = std::filesystem;
using namespace larder;
using namespace larder::tests;
using larder::runtime::CheckpointPlan;

namespace {

const std::string kFolders = LARDER_TEST_DATA_DIR "/checkpoints";

// Folders of make_checkpoints.py: some are checked in, all are in LARDER_CHECKPOINTS_DIR.
std::vector<fs::path> folders() {
  std::vector<fs::path> found;
  const char* const all = LARDER_CHECKPOINTS_DIR;
  for (const auto& entry : fs::directory_iterator(*all != '\0' ? fs::path(all) : fs::path(kFolders)))
    found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

Result<std::vector<std::string>> convert(const std::string& folder, const std::string& out,
                                         const runtime::CheckpointOptions& options = {}) {
  auto plan = CheckpointPlan::create(folder, options);
  if (!plan) return plan.status();
  CheckpointPlan::RunOptions run;
  run.kernels = &quant::best_kernels();
  return plan->run(out, run);
}

std::shared_ptr<const runtime::Model> open(const std::string& path) {
  auto model = runtime::Model::open(path);
  REQUIRE_MESSAGE(model.ok(), model.status().to_string());
  return *model;
}

double farthest(const PromptTrace& expected, const PromptTrace& got) {
  const size_t from = got.logits.size() - expected.logits.size();
  double most = 0;
  for (size_t i = 0; i < expected.logits.size(); ++i) {
    const double d = std::abs(double{expected.logits[i]} - double{got.logits[from + i]});
    most = std::isnan(d) ? INFINITY : std::max(most, d);
  }
  return most;
}

void check_same_tensors(const formats::GgufFile& expected, const formats::GgufFile& got) {
  for (const formats::GgufTensor& tensor : expected.tensors()) {
    const formats::GgufTensor* const other = got.find_tensor(tensor.name);
    if (other == nullptr) continue;  // fused in one and not in the other
    if (tensor.type != other->type || tensor.name.find("rope_freqs") != std::string_view::npos ||
        tensor.name.find("norm.weight") != std::string_view::npos ||
        tensor.name.find("ssm_a") != std::string_view::npos)
      continue;  // computed, so rounded
    CAPTURE(std::string(tensor.name));
    CHECK(std::ranges::equal(expected.data(tensor), got.data(*other)));
  }
}

}  // namespace

TEST_CASE("convert: goldens' checkpoints become files with the goldens' tensors and logits") {
  for (const fs::path& folder : folders()) {
    const std::string name = folder.filename();
    CAPTURE(name);
    const std::unique_ptr<GoldenCase> golden = load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no reference data for ", name);
      continue;
    }
    const TemporaryDirectory directory;
    const auto paths = convert(folder, directory.path("out.gguf"));
    CHECK_MESSAGE(paths.ok(), paths.status().to_string());
    if (!paths) continue;
    const auto model = open(paths->front());
    check_same_tensors(golden->model->file(), model->file());
    for (const PromptTrace& prompt : golden->prompts) {
      RunOptions options;
      options.forward.arithmetic = quant::Arithmetic::exact;
      options.forward.max_positions = static_cast<int32_t>(prompt.tokens.size());
      CHECK(farthest(prompt, run_tokens(model, prompt.tokens, options, prompt.source)) <=
            golden->logits_tolerance);
    }
  }
}

TEST_CASE("convert: parts of a limited size are the same model") {
  const TemporaryDirectory directory;
  runtime::CheckpointOptions options;
  options.most_shard_bytes = 300'000;
  const auto whole = convert(kFolders + "/mixtral", directory.path("whole.gguf"));
  const auto parts = convert(kFolders + "/mixtral", directory.path("parts.gguf"), options);
  REQUIRE(whole.ok());
  REQUIRE_MESSAGE(parts.ok(), parts.status().to_string());
  CHECK(parts->size() > 2);
  check_same_tensors(open(whole->front())->file(), open(parts->front())->file());
}

TEST_CASE("convert: a mix's types, and blocks of MXFP4 as they are") {
  const TemporaryDirectory directory;
  for (const char* type : {"q8_0", "f16", "bf16", "q4_0"}) {
    runtime::CheckpointOptions options;
    options.mix = runtime::find_mix(type);
    const auto paths = convert(kFolders + "/gpt-oss-mxfp4", directory.path(type), options);
    REQUIRE_MESSAGE(paths.ok(), paths.status().to_string());
    const auto model = open(paths->front());
    const auto name_of = [&](const char* tensor) {
      return std::string(model->file().find_tensor(tensor)->type->name);
    };
    CHECK(name_of("blk.0.ffn_up_exps.weight") == "MXFP4");
    CHECK(name_of("blk.0.ffn_gate_inp.weight") == "F32");
    std::string expected = type;
    for (char& c : expected) c = static_cast<char>(std::toupper(c));
    CHECK(name_of("blk.0.attn_q.weight") == expected);
  }
}

TEST_CASE("convert: 8-bit floats") {
  using runtime::widen_f8_e4m3, runtime::widen_f8_e5m2;
  // Source: the tables of OFP8 1.0.
  CHECK(widen_f8_e4m3(0x7e) == 448);
  CHECK(widen_f8_e4m3(0x01) == std::ldexp(1.0f, -9));
  CHECK(widen_f8_e4m3(0x08) == std::ldexp(1.0f, -6));
  CHECK(widen_f8_e4m3(0xb8) == -1);
  CHECK(std::isnan(widen_f8_e4m3(0x7f)));
  CHECK(widen_f8_e5m2(0x7b) == 57344);
  CHECK(widen_f8_e5m2(0x01) == std::ldexp(1.0f, -16));
  CHECK(std::isinf(widen_f8_e5m2(0x7c)));
  CHECK(std::isnan(widen_f8_e5m2(0x7d)));
}
