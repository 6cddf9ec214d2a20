// Importance of weights: the same sums however they are computed, those of another implementation,
// and files that come back as they were.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/gguf/gguf_writer.h"
#include "runtime/importance/importance.h"
#include "runtime/importance/importance_collector.h"
#include "tests/golden_case.h"
#include "tests/paged_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

using nlohmann::json;

struct Run {
  int n_threads = 1;
  int32_t chunk = 0;  // 0: all at once
  quant::Arithmetic arithmetic = quant::Arithmetic::integer;
};

Importance collect(const Paged& paged, const std::vector<int32_t>& source,
                   const std::vector<int32_t>& tokens, const Run& run) {
  const auto n = static_cast<int32_t>(tokens.size());
  const int32_t chunk = run.chunk > 0 ? run.chunk : n;
  auto forward = Forward::create(paged.model, {.arithmetic = run.arithmetic,
                                               .n_threads = run.n_threads,
                                               .max_rows = chunk,
                                               .max_logits = chunk,
                                               .experts = paged.store});
  REQUIRE_MESSAGE(forward.ok(), forward.status().to_string());
  const int32_t room = std::max(n, static_cast<int32_t>(source.size()));
  auto state = SequenceState::create(paged.model->config(), room, CacheType::f32);
  REQUIRE_MESSAGE(state.ok(), state.status().to_string());
  auto collector = ImportanceCollector::create(*paged.model);
  REQUIRE_MESSAGE(collector.ok(), collector.status().to_string());
  encode_source(**forward, **state, source, &*collector);
  SequenceState* sequences[] = {state->get()};
  for (int32_t begin = 0; begin < n; begin += chunk) {
    std::vector<TokenRow> rows;
    for (int32_t i = begin; i < std::min(n, begin + chunk); ++i)
      rows.push_back({tokens[static_cast<size_t>(i)], i, 0, true});
    const Status status = (*forward)->run(rows, sequences, nullptr, &*collector);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
  }
  return collector->importance();
}

void check_same(const Importance& a, const Importance& b) {
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    CAPTURE(name);
    const auto other = b.tensors.find(name);
    REQUIRE(other != b.tensors.end());
    CHECK(tensor.counts == other->second.counts);
    CHECK(tensor.sums == other->second.sums);
  }
}

// Every matrix that the pass multiplies has met every row: those of dense tensors and heads all,
// those of a layer's experts together n_active times.
void check_counts(const Importance& importance, const GoldenCase& golden, double n) {
  for (const auto& [name, tensor] : importance.tensors) {
    if (name.starts_with("enc.") || name.starts_with("dec.")) continue;
    CAPTURE(name);
    double all = 0;
    for (const double count : tensor.counts) all += count;
    if (name.find("_exps.") == std::string::npos) {
      CHECK(all == n * static_cast<double>(tensor.n_matrices()));
    } else {
      const size_t layer = std::stoul(name.substr(4));
      CHECK(all == n * golden.model->config().layers[layer].router.n_active);
    }
  }
}

Importance small_importance() {
  Importance importance;
  importance.datasets = {"a.txt"};
  importance.n_chunks = 3;
  importance.chunk_tokens = 512;
  importance.tensors["blk.0.ffn_down_exps.weight"] = {2, {1, 0.5, 0, 0}, {7, 0}};
  importance.tensors["output.weight"] = {3, {4, 5, 6}, {11}};
  return importance;
}

}  // namespace

TEST_CASE("importance: the same sums for any threads, chunks and pages, on every architecture") {
  for (const char* name :
       {"mixtral", "qwen3moe", "qwen3moe-quant", "gpt-oss-mxfp4", "deepseek-v2-lite",
        "deepseek-v2-lite-legacy", "deepseek-v3", "qwen2moe", "llama4", "dbrx", "granitemoeshared",
        "lfm2moe", "qwen3next", "llama-dense", "switch"}) {
    const auto golden = load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no reference data for ", name);
      continue;
    }
    CAPTURE(name);
    const PromptTrace& prompt = golden->prompts.front();
    const Paged mapped = {golden->model, nullptr};
    const Importance expected = collect(mapped, prompt.source, prompt.tokens, {});
    check_counts(expected, *golden, static_cast<double>(prompt.tokens.size()));
    check_same(expected, collect(mapped, prompt.source, prompt.tokens, {.n_threads = 2}));
    check_same(expected,
               collect(mapped, prompt.source, prompt.tokens, {.n_threads = 2, .chunk = 3}));
    if (all_of(*golden->model) == 0 || golden->model->config().has_encoder()) continue;
    const Paged paged = page(golden->model, floor_of(*golden->model), threads(2));
    check_same(expected,
               collect(paged, prompt.source, prompt.tokens, {.n_threads = 2, .chunk = 5}));
  }
}

TEST_CASE("importance: Hugging Face's activations have these squares (data/make_importance.py)") {
  std::ifstream file(std::string(LARDER_TEST_DATA_DIR) + "/importance.json");
  const json golden = json::parse(file);
  const auto model =
      Model::open(std::string(LARDER_SHARED_DIR) + "/weights/storyteller/storyteller-f16.gguf");
  if (!model) {
    MESSAGE("skipped: ", model.status().to_string());
    return;
  }
  const Importance ours =
      collect({*model, nullptr}, {}, golden.at("ids"), {.arithmetic = quant::Arithmetic::exact});
  // The checkpoint's norms are float16, the file's float32: 2^-11 a norm, twice that a square.
  const auto about = [](double x) { return doctest::Approx(x).epsilon(4e-3); };
  for (const auto& [name, matrices] : golden.at("tensors").items()) {
    CAPTURE(name);
    const auto found = ours.tensors.find(name);
    REQUIRE(found != ours.tensors.end());
    const TensorImportance& tensor = found->second;
    REQUIRE(tensor.n_matrices() == matrices.size());
    for (size_t m = 0; m < matrices.size(); ++m) {
      const double* sums = tensor.sums.data() + m * static_cast<size_t>(tensor.n_columns);
      CHECK(tensor.counts[m] == matrices[m].at("count"));
      double total = 0;
      for (int64_t c = 0; c < tensor.n_columns; ++c) total += sums[c];
      CHECK(total == about(matrices[m].at("total")));
      const std::vector<double> first = matrices[m].at("first");
      for (size_t c = 0; c < first.size(); ++c) CHECK(sums[c] == about(first[c]));
    }
  }
}

TEST_CASE("importance: a file comes back as it was written, in llama.cpp's layout") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("imatrix.gguf");
  Importance written = small_importance();
  written.tensors["unknown.weight"] = {2, {0, 0}, {0}};
  REQUIRE(write_importance(written, path).ok());
  const auto read = read_importance(path);
  REQUIRE_MESSAGE(read.ok(), read.status().to_string());
  CHECK(read->datasets == written.datasets);
  CHECK(read->n_chunks == 3);
  CHECK(read->chunk_tokens == 512);
  written.tensors.erase("unknown.weight");
  check_same(written, *read);

  const auto file = formats::GgufFile::open(path);
  REQUIRE(file.ok());
  const formats::GgufTensor* sums = (*file)->find_tensor("blk.0.ffn_down_exps.weight.in_sum2");
  const formats::GgufTensor* counts = (*file)->find_tensor("blk.0.ffn_down_exps.weight.counts");
  REQUIRE(sums != nullptr);
  REQUIRE(counts != nullptr);
  CHECK(sums->dims == std::array<uint64_t, 4>{2, 2, 1, 1});
  CHECK(counts->dims == std::array<uint64_t, 4>{1, 2, 1, 1});
}

TEST_CASE("importance: files are merged by adding, and refused where shapes differ") {
  Importance sum = small_importance();
  REQUIRE(merge(sum, small_importance()).ok());
  CHECK(sum.n_chunks == 6);
  CHECK(sum.tensors["output.weight"].sums == std::vector<double>{8, 10, 12});
  CHECK(sum.tensors["output.weight"].counts == std::vector<double>{22});
  Importance other = small_importance();
  other.tensors["output.weight"] = {2, {1, 1}, {1}};
  const Importance before = sum;
  const Status status = merge(sum, other);
  CHECK(status.cause() == Cause::shape);
  CHECK(status.detail().subject == "tensor output.weight");
  check_same(before, sum);
}

TEST_CASE("importance: every truncated file is an error, as is one of another kind") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("imatrix.gguf"), cut = folder.path("cut.gguf");
  REQUIRE(write_importance(small_importance(), path).ok());
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  // the last tensor may be unpadded: its 4 bytes are the last that matter
  const size_t n_needed = bytes.size() - 32 + sizeof(float);
  for (size_t n = 0; n < n_needed; n += 7) {
    std::ofstream(cut, std::ios::binary | std::ios::trunc) << bytes.substr(0, n);
    CHECK_FALSE(read_importance(cut).ok());
  }
  formats::GgufWriter writer;
  writer.set_string("general.type", "model");
  REQUIRE(writer.begin(cut).ok());
  REQUIRE(writer.finish().ok());
  CHECK(read_importance(cut).status().cause() == Cause::magic);
}

TEST_CASE("importance: figures that are negative or not finite are refused with their tensor") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("imatrix.gguf");
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    Importance importance = small_importance();
    importance.tensors["output.weight"].sums[1] = bad;
    REQUIRE(write_importance(importance, path).ok());
    const Status status = read_importance(path).status();
    CHECK(status.cause() == Cause::numeric);
    CHECK(status.detail().subject == "tensor output.weight.in_sum2");
  }
}
