// The bundled model's log-likelihoods against lm-evaluation-harness's own Hugging Face backend.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/session/engine.h"
#include "runtime/session/scorer.h"
#include "tests/temporary_directory.h"

using namespace larder;
using namespace larder::runtime;
using nlohmann::json;

namespace {

const std::string kScores = std::string(LARDER_SHARED_DIR) + "/goldens/scores/";
const std::string kWeights =
    std::string(LARDER_SHARED_DIR) + "/weights/storyteller/storyteller-f16.gguf";
constexpr int32_t kContext = 1024;  // the harness's max_length

// Empty where the developers' data is absent; the case then says so and ends.
std::vector<json> read_lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<json> records;
  for (std::string line; std::getline(file, line);) records.push_back(json::parse(line));
  if (records.empty()) MESSAGE("skipped: no ", path);
  return records;
}

// The weights that the harness computed with: its file keeps all of them as f16, where the GGUF
// file keeps norms and routers as f32.
std::string round_to_f16(const std::string& path, const tests::TemporaryDirectory& folder) {
  const auto file = formats::GgufFile::open(path);
  REQUIRE(file.ok());
  std::ifstream in(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  for (const formats::GgufTensor& tensor : (*file)->tensors()) {
    if (tensor.type->name != "F32") continue;
    for (uint64_t at = 0; at < tensor.size_bytes; at += sizeof(float)) {
      char* const place = bytes.data() + tensor.file_offset + at;
      float value;
      std::memcpy(&value, place, sizeof value);
      value = static_cast<float>(static_cast<_Float16>(value));
      std::memcpy(place, &value, sizeof value);
    }
  }
  return folder.write("rounded.gguf", {bytes.data(), bytes.size()});
}

std::unique_ptr<Engine> open(const std::string& path, bool exact) {
  auto model = Model::open(path);
  REQUIRE_MESSAGE(model.ok(), model.status().to_string());
  EngineOptions options;
  options.session.exact = exact;
  options.session.n_ctx = kContext;
  auto engine = Engine::create(*model, options);
  REQUIRE_MESSAGE(engine.ok(), engine.status().to_string());
  return std::move(*engine);
}

// A record's windows, computed.
std::vector<Likelihood> score(Engine& engine, const Scorer& scorer,
                              const std::vector<std::vector<ScoreWindow>>& records) {
  std::map<uint64_t, EngineResult> results;
  const auto step = [&] {
    const Status status = engine.advance(
        [&](EngineResult&& result) { results.emplace(result.tag, std::move(result)); });
    REQUIRE_MESSAGE(status.ok(), status.to_string());
  };
  const auto tag_of = [](size_t record, size_t window) { return record << 20 | window; };
  for (size_t r = 0; r < records.size(); ++r) {
    for (size_t w = 0; w < records[r].size(); ++w) {
      while (!engine.has_room()) step();
      const Status status = engine.submit(scorer.item(records[r][w], tag_of(r, w)));
      REQUIRE_MESSAGE(status.ok(), status.to_string());
    }
  }
  while (engine.n_held() > 0) step();
  std::vector<Likelihood> likelihoods(records.size());
  for (size_t r = 0; r < records.size(); ++r) {
    for (size_t w = 0; w < records[r].size(); ++w) {
      const EngineResult& result = results.at(tag_of(r, w));
      REQUIRE_MESSAGE(result.status.ok(), result.status.to_string());
      append(likelihoods[r], records[r][w], result);
    }
  }
  return likelihoods;
}

std::vector<Likelihood> score_pairs(Engine& engine, const std::vector<json>& records) {
  const auto scorer = Scorer::create(engine.model(), engine.n_ctx());
  REQUIRE(scorer.ok());
  std::vector<std::vector<ScoreWindow>> windows;
  for (const json& record : records) {
    const auto window = scorer->encode_pair(record.at("context").get<std::string>(),
                                            record.at("continuation").get<std::string>());
    REQUIRE_MESSAGE(window.ok(), window.status().to_string());
    windows.push_back({*window});
  }
  return score(engine, *scorer, windows);
}

std::vector<Likelihood> score_texts(Engine& engine, const std::vector<json>& records) {
  const auto scorer = Scorer::create(engine.model(), engine.n_ctx());
  REQUIRE(scorer.ok());
  std::vector<std::vector<ScoreWindow>> windows;
  for (const json& record : records) {
    const auto tokens = scorer->encode(record.at("text").get<std::string>());
    REQUIRE(tokens.ok());
    std::vector<ScoreWindow>& of_text = windows.emplace_back();
    for (size_t i = 0; i < scorer->n_windows(tokens->size()); ++i)
      of_text.push_back(scorer->window(*tokens, i));
  }
  return score(engine, *scorer, windows);
}

// A figure that numeric noise may move.
double tolerance(size_t n_tokens) { return 1e-3 + 2e-4 * static_cast<double>(n_tokens); }

// Source: the harness's acc and acc_norm: the first of the best choices, by log probability and by
// log probability per character of the choice without the space before it.
struct Accuracy {
  int n_items = 0, n_right = 0, n_right_by_character = 0;
  void add(const std::vector<std::pair<const json*, const Likelihood*>>& choices) {
    const auto best = [&](auto&& value) {
      size_t at = 0;
      for (size_t i = 1; i < choices.size(); ++i)
        if (value(i) > value(at)) at = i;
      return at;
    };
    const auto n_characters = [&](size_t i) {
      const std::string text = choices[i].first->at("continuation").get<std::string>();
      const auto n = std::count_if(text.begin(), text.end(),
                                   [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
      return static_cast<double>(n - (text.starts_with(' ') ? 1 : 0));
    };
    const auto gold = choices.front().first->at("gold").get<size_t>();
    ++n_items;
    n_right += best([&](size_t i) { return choices[i].second->logprob; }) == gold ? 1 : 0;
    n_right_by_character +=
        best([&](size_t i) { return choices[i].second->logprob / n_characters(i); }) == gold ? 1
                                                                                             : 0;
  }
};

std::map<std::string, Accuracy> accuracies(const std::vector<json>& records,
                                           const std::vector<Likelihood>& likelihoods) {
  std::map<std::string, std::vector<std::pair<const json*, const Likelihood*>>> items;
  std::map<std::string, Accuracy> by_set;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string id = records[i].at("id").get<std::string>();
    const std::string set = id.substr(0, id.find('.'));
    if (set == "edge") continue;
    if (set == "lambada_openai") {
      ++by_set[set].n_items;
      by_set[set].n_right += likelihoods[i].is_greedy ? 1 : 0;
      continue;
    }
    items[id.substr(0, id.rfind('.'))].push_back({&records[i], &likelihoods[i]});
  }
  for (const auto& [id, choices] : items) by_set[id.substr(0, id.find('.'))].add(choices);
  return by_set;
}

}  // namespace

TEST_CASE("scores: log-likelihoods are those of lm-evaluation-harness") {
  const std::vector<json> records = read_lines(kScores + "loglikelihood.jsonl");
  if (records.empty()) return;
  const tests::TemporaryDirectory folder;
  const auto engine = open(round_to_f16(kWeights, folder), true);
  const std::vector<Likelihood> likelihoods = score_pairs(*engine, records);
  double worst = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const json& golden = records[i];
    const Likelihood& ours = likelihoods[i];
    INFO(golden.at("id").get<std::string>());
    CHECK(ours.tokens.size() == golden.at("n_tokens").get<size_t>());
    CHECK(ours.is_greedy == golden.at("is_greedy").get<bool>());
    const double error = std::fabs(ours.logprob - golden.at("logprob").get<double>());
    CHECK(error <= tolerance(ours.tokens.size()));
    worst = std::max(worst, error / tolerance(ours.tokens.size()));
  }
  MESSAGE("largest difference in tolerances: ", worst);

  std::ifstream file(kScores + "accuracy.json");
  const json golden = json::parse(file);
  const auto ours = accuracies(records, likelihoods);
  for (const auto& [set, expected] : golden.items()) {
    INFO(std::string(set));
    const Accuracy& accuracy = ours.at(set);
    CHECK(accuracy.n_items == expected.at("items").get<int>());
    const double n = accuracy.n_items;
    CHECK(accuracy.n_right / n == doctest::Approx(expected.at("acc").get<double>()));
    if (expected.contains("acc_norm (per character)"))
      CHECK(accuracy.n_right_by_character / n ==
            doctest::Approx(expected.at("acc_norm (per character)").get<double>()));
  }
}

TEST_CASE("scores: rolling log-likelihoods are those of lm-evaluation-harness") {
  const std::vector<json> records = read_lines(kScores + "rolling.jsonl");
  if (records.empty()) return;
  const tests::TemporaryDirectory folder;
  const auto engine = open(round_to_f16(kWeights, folder), true);
  const std::vector<Likelihood> likelihoods = score_texts(*engine, records);
  double worst = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const json& golden = records[i];
    INFO(golden.at("id").get<std::string>());
    const size_t n = golden.at("n_tokens").get<size_t>();
    CHECK(likelihoods[i].tokens.size() == n);
    const double error = std::fabs(likelihoods[i].logprob - golden.at("logprob").get<double>());
    CHECK(error <= tolerance(n));
    worst = std::max(worst, error / tolerance(n));
  }
  MESSAGE("largest difference in tolerances: ", worst);
}
