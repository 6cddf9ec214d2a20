// The bundled model and its less quantised forms against a reference in another framework:
// goldens.json beside them (Hugging Face transformers, float32, on the dequantised weights).
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/generation.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"

namespace {

using larder::formats::SpecialTokens;
using larder::formats::TokenId;
using larder::runtime::Generation;
using larder::runtime::Model;
using larder::runtime::Session;
using larder::runtime::SessionOptions;
using nlohmann::json;

const std::string kFolder = std::string(LARDER_SHARED_DIR) + "/weights/storyteller/";
const std::vector<std::string> kFiles = {"storyteller-f16.gguf", "storyteller-q8.gguf",
                                         "storyteller-q4.gguf"};

// Empty where the developers' data is absent; the case then says so and ends.
json goldens() {
  std::ifstream file(kFolder + "goldens.json");
  if (!file) {
    MESSAGE("skipped: no ", kFolder, "goldens.json");
    return {};
  }
  return json::parse(file);
}

std::unique_ptr<Session> open(const std::string& file, bool exact) {
  auto model = Model::open(kFolder + file);
  REQUIRE_MESSAGE(model.ok(), model.status().to_string());
  SessionOptions options;
  options.exact = exact;
  auto session = Session::create(*model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().to_string());
  return std::move(*session);
}

Generation greedy(Session& session, const std::vector<TokenId>& prompt, int32_t n) {
  session.truncate(0);
  REQUIRE(session.append(prompt).ok());
  larder::runtime::SamplerOptions sampling;
  sampling.temperature = 0;
  larder::runtime::Sampler sampler(sampling, session.model().config().n_vocab);
  larder::runtime::GenerationOptions options;
  options.max_tokens = n;
  auto generated = larder::runtime::generate(session, sampler, options, {});
  REQUIRE(generated.ok());
  return std::move(*generated);
}

// Mean negative log-likelihood of tokens 1.. of each window, every window by itself.
double loss(Session& session, const std::vector<TokenId>& tokens, size_t window) {
  double sum = 0;
  size_t n = 0;
  for (size_t begin = 0; begin + window <= tokens.size(); begin += window) {
    const std::span<const TokenId> part(tokens.data() + begin, window);
    session.truncate(0);
    const auto status =
        session.append_all_logits(part, [&](int32_t position, std::span<const float> logits) {
          const auto next = static_cast<size_t>(position) + 1;
          if (next == window) return;
          sum -= larder::runtime::log_probability(logits, part[next]);
          ++n;
        });
    REQUIRE_MESSAGE(status.ok(), status.to_string());
  }
  return sum / static_cast<double>(n);
}

}  // namespace

TEST_CASE("storyteller: prompts are tokenised as by the reference") {
  const json golden = goldens();
  if (golden.is_null()) return;
  const auto session = open("storyteller-q4.gguf", false);
  for (const json& prompt : golden["prompts"]) {
    std::vector<TokenId> ids;
    REQUIRE(session->model()
                .tokenizer()
                ->encode(prompt["text"].get<std::string>(), SpecialTokens::recognised, ids)
                .ok());
    CHECK(ids == prompt["token_ids"].get<std::vector<TokenId>>());
  }
}

TEST_CASE("storyteller: with float32 activations every greedy token is the reference's") {
  const json golden = goldens();
  if (golden.is_null()) return;
  for (const std::string& file : kFiles) {
    CAPTURE(file);
    const auto session = open(file, true);
    for (size_t i = 0; i < golden["prompts"].size(); ++i) {
      CAPTURE(i);
      const json& expected = golden["files"][file]["greedy"][i];
      const auto ids = expected["ids"].get<std::vector<TokenId>>();
      const Generation generated =
          greedy(*session, golden["prompts"][i]["token_ids"].get<std::vector<TokenId>>(), 48);
      CHECK(generated.tokens == ids);
      const auto logprobs = expected["logprobs"].get<std::vector<double>>();
      REQUIRE(generated.logprobs.size() == logprobs.size());
      double largest = 0;
      for (size_t t = 0; t < logprobs.size(); ++t) {
        largest = std::max(largest, std::fabs(generated.logprobs[t] - logprobs[t]));
      }
      CHECK(largest < 1e-3);
    }
  }
}

TEST_CASE("storyteller: integer kernels first differ from the reference only at a near-tie") {
  const json golden = goldens();
  if (golden.is_null()) return;
  for (const std::string& file : kFiles) {
    CAPTURE(file);
    const auto session = open(file, false);
    size_t n_equal = 0;
    for (size_t i = 0; i < golden["prompts"].size(); ++i) {
      CAPTURE(i);
      const json& expected = golden["files"][file]["greedy"][i];
      const auto ids = expected["ids"].get<std::vector<TokenId>>();
      const Generation generated =
          greedy(*session, golden["prompts"][i]["token_ids"].get<std::vector<TokenId>>(), 48);
      const auto differs =
          std::mismatch(ids.begin(), ids.end(), generated.tokens.begin(), generated.tokens.end());
      if (differs.first == ids.end()) {
        ++n_equal;
        continue;
      }
      const auto at = static_cast<size_t>(differs.first - ids.begin());
      CAPTURE(at);
      CHECK(expected["gaps"][at].get<double>() < 0.1);
    }
    MESSAGE(file, ": ", n_equal, " of ", golden["prompts"].size(), " answers are equal");
  }
}

TEST_CASE("storyteller: the held-out loss is the reference's within half a percent") {
  const json golden = goldens();
  if (golden.is_null()) return;
  const auto tokens = golden["heldout"]["first_tokens"].get<std::vector<TokenId>>();
  const auto window = golden["heldout"]["window"].get<size_t>();
  REQUIRE(tokens.size() == 4096);
  for (const std::string& file : kFiles) {
    CAPTURE(file);
    const auto session = open(file, false);
    const double expected = golden["files"][file]["nll_per_token"].get<double>();
    const double measured = loss(*session, tokens, window);
    MESSAGE(file, ": ", measured, " nats a token, the reference has ", expected);
    CHECK(measured == doctest::Approx(expected).epsilon(0.005));
  }
}

TEST_CASE("storyteller: the checked-in model is the one that was measured") {
  const std::string own = std::string(LARDER_SOURCE_DIR) + "/apps/models/storyteller-q4.gguf";
  REQUIRE(std::filesystem::exists(own));
  if (!std::filesystem::exists(kFolder + "storyteller-q4.gguf")) {
    MESSAGE("skipped: no ", kFolder);
    return;
  }
  const auto bytes = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  CHECK((bytes(own) == bytes(kFolder + "storyteller-q4.gguf")));
}
