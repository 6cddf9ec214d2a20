// Hugging Face folders of the goldens' weights, converted: the same tensors, keys and answers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "formats/json/json.h"
#include "formats/text/tokenizer.h"
#include "quant/dispatch.h"
#include "quant/reference.h"
#include "runtime/convert/checkpoint_config.h"
#include "runtime/convert/checkpoint_convert.h"
#include "runtime/convert/checkpoint_keys.h"
#include "runtime/convert/element_reader.h"
#include "tests/golden_case.h"
#include "tests/temporary_directory.h"

namespace fs = std::filesystem;
using namespace larder;
using namespace larder::tests;
using larder::runtime::CheckpointPlan;

namespace {

const std::string kFolders = LARDER_TEST_DATA_DIR "/checkpoints";
const std::string kSavedFolders = LARDER_TEST_DATA_DIR "/saved_checkpoints";

// What is in a folder, of which n_least things are known to be there.
std::vector<fs::path> entries(const fs::path& folder, size_t n_least) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  REQUIRE_MESSAGE(found.size() >= n_least, folder.string());
  std::sort(found.begin(), found.end());
  return found;
}

// Folders of make_checkpoints.py: some are checked in, all are in LARDER_CHECKPOINTS_DIR.
std::vector<fs::path> folders() {
  const std::string all = LARDER_CHECKPOINTS_DIR;
  return entries(all.empty() ? kFolders : all, 2);
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
  REQUIRE(got.logits.size() >= expected.logits.size());
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

std::vector<int32_t> ids_of(const formats::DataValue* list) {
  std::vector<int32_t> ids;
  if (list != nullptr)
    for (const formats::DataValue& id : list->list) ids.push_back(static_cast<int32_t>(id.integer));
  return ids;
}

formats::DataValue read_json(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto value = formats::parse_json(text);
  REQUIRE_MESSAGE(value.ok(), path, ": ", value.status().to_string());
  return std::move(*value);
}

// Most that a logit of the last positions, as expected.json has them, is off.
double farthest(const formats::DataValue& expected,
                const std::shared_ptr<const runtime::Model>& model) {
  const std::vector<int32_t> ids = ids_of(expected.find("ids"));
  const std::vector<int32_t> source = ids_of(expected.find("source"));
  RunOptions options;
  options.forward.arithmetic = quant::Arithmetic::exact;
  options.forward.max_positions = static_cast<int32_t>(std::max(ids.size(), source.size()));
  PromptTrace last;
  for (const formats::DataValue& row : expected.find("logits")->list)
    for (const formats::DataValue& x : row.list)
      last.logits.push_back(static_cast<float>(
          x.kind == formats::DataValue::Kind::integer ? static_cast<double>(x.integer) : x.real));
  REQUIRE(last.logits.size() > 0);
  return farthest(last, run_tokens(model, ids, options, source));
}

// As transformers' tokenizer does, with what it puts before and behind a text.
void check_same_ids(const formats::DataValue& texts, const runtime::Model& model) {
  const auto tokenizer = formats::Tokenizer::create(model.file());
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().to_string());
  CHECK(texts.list.size() > 0);
  for (const formats::DataValue& text : texts.list) {
    std::vector<int32_t> ids;
    if ((*tokenizer)->adds_bos()) ids.push_back((*tokenizer)->bos());
    REQUIRE((*tokenizer)
                ->encode(text.find("text")->string, formats::SpecialTokens::recognised, ids)
                .ok());
    if ((*tokenizer)->adds_eos()) ids.push_back((*tokenizer)->eos());
    CHECK_MESSAGE(ids == ids_of(text.find("ids")), text.find("text")->string);
  }
}

}  // namespace

TEST_CASE("convert: folders that transformers saved give its logits and its tokens") {
  // Sums of 160 products, and an exponential in each expert: some 1e-6 between two float32
  // programs.
  constexpr double kTolerance = 2e-5;
  for (const std::string folder : entries(kSavedFolders, 10)) {
    CAPTURE(folder);
    const TemporaryDirectory directory;
    runtime::CheckpointOptions options;
    options.mix = runtime::find_mix("f32");  // FP8 times its scale is no BF16
    const auto paths = convert(folder, directory.path("out.gguf"), options);
    CHECK_MESSAGE(paths.ok(), paths.status().to_string());
    if (!paths) continue;
    const auto model = open(paths->front());
    const formats::DataValue expected = read_json(folder + "/expected.json");
    CHECK(farthest(expected, model) <= kTolerance);
    check_same_ids(*expected.find("texts"), *model);
  }
}

TEST_CASE("convert: the storyteller's checkpoint is the storyteller's file") {
  const std::string folder = std::string(LARDER_SHARED_DIR) + "/weights/storyteller";
  if (!fs::exists(folder + "/model.safetensors")) {
    MESSAGE("skipped: no trained model on this machine");
    return;
  }
  const TemporaryDirectory directory;
  const auto paths = convert(folder, directory.path("out.gguf"));
  REQUIRE_MESSAGE(paths.ok(), paths.status().to_string());
  const auto expected = open(folder + "/storyteller-f16.gguf"), got = open(paths->front());
  // Its checkpoint is float16 throughout, where the file keeps routers and norms as trained.
  for (const formats::GgufTensor& tensor : expected->file().tensors()) {
    const formats::GgufTensor* const other = got->file().find_tensor(tensor.name);
    REQUIRE(other != nullptr);
    REQUIRE(other->type == tensor.type);
    const auto from = expected->file().data(tensor), to = got->file().data(*other);
    if (tensor.type->name != "F32") {
      CHECK(std::ranges::equal(from, to));
      continue;
    }
    for (size_t i = 0; i < from.size(); i += sizeof(float)) {
      float trained = 0, converted = 0;
      std::memcpy(&trained, from.data() + i, sizeof trained);
      std::memcpy(&converted, to.data() + i, sizeof converted);
      REQUIRE(converted == quant::reference::widen_f16(quant::reference::narrow_f16(trained)));
    }
  }
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 64; ++i) tokens.push_back(i * 61 % 4096);
  RunOptions options;
  options.forward.arithmetic = quant::Arithmetic::exact;
  options.forward.max_positions = 64;
  // Rounding norms and routers moves logits, of a deviation of 3.5, by 0.0053.
  CHECK(farthest(run_tokens(expected, tokens, options), run_tokens(got, tokens, options)) <= 0.01);
}

// The keys that releases of the families have in config.json, 2026-08.
TEST_CASE("convert: no key of the releases' configurations is unknown") {
  const fs::path folder = LARDER_TEST_DATA_DIR "/release_configs";
  for (const std::string path : entries(folder, 7)) {
    CAPTURE(path);
    const formats::DataValue root = read_json(path);
    runtime::CheckpointConfig config(root);
    const auto family = runtime::find_family(config.string("model_type").value_or(""));
    REQUIRE(family != nullptr);
    formats::GgufWriter out;
    const auto sizes = runtime::write_checkpoint_keys(*family, config, out);
    CHECK_MESSAGE(sizes.ok(), sizes.status().to_string());
    runtime::rope_factors(config);
    CHECK(config.status().ok());
    for (const std::string& key : config.unknown_keys()) FAIL_CHECK(key);
  }
}

TEST_CASE("convert: a pattern ignores a key and what is under it, and nothing more") {
  const auto root = formats::parse_json(
      R"({"a_dropout": 1, "dropouts": 1, "q": {"x": 1, "y": {"z": 1}}, "p": {"b_dropout": 1},
          "qq": 1, "_n": 1, "n_": 1, "nothing": null, "empty": [], "none": {}})");
  REQUIRE(root.ok());
  runtime::CheckpointConfig config(*root);
  for (const char* pattern : {"*dropout", "q", "_*"}) config.ignore(pattern);
  CHECK(config.unknown_keys() == std::vector<std::string>{"dropouts", "n_", "qq"});
}

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
