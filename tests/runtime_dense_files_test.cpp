// Two small dense models that others trained and converted: they are read, and they make sense.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/generation.h"
#include "runtime/session/prompt.h"
#include "runtime/session/session.h"

namespace {

using larder::formats::SpecialTokens;
using larder::formats::TokenId;
using larder::runtime::Model;
using larder::runtime::Session;

const std::string kShared = LARDER_SHARED_DIR;

std::string read_text(const std::string& path, size_t n_bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string text(n_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(n_bytes));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// Null, and a message, where the developers' data is absent.
std::unique_ptr<Session> open(const std::string& name) {
  const std::string path = kShared + "/weights/" + name;
  if (!std::ifstream(path)) {
    MESSAGE("skipped: no ", path);
    return nullptr;
  }
  auto model = Model::open(path);
  REQUIRE_MESSAGE(model.ok(), model.status().to_string());
  auto session = Session::create(*model, {});
  REQUIRE_MESSAGE(session.ok(), session.status().to_string());
  return std::move(*session);
}

std::vector<TokenId> encode(const Session& session, const std::string& text) {
  auto ids =
      larder::runtime::encode_text(*session.model().tokenizer(), text, SpecialTokens::as_text);
  REQUIRE(ids.ok());
  return std::move(*ids);
}

std::string continue_greedily(Session& session, const std::string& prompt, int32_t n) {
  REQUIRE(session.append(encode(session, prompt)).ok());
  larder::runtime::SamplerOptions sampling;
  sampling.temperature = 0;
  larder::runtime::Sampler sampler(sampling, session.model().config().n_vocab);
  larder::runtime::GenerationOptions options;
  options.max_tokens = n;
  const auto generated = larder::runtime::generate(session, sampler, options, {});
  REQUIRE(generated.ok());
  return generated->text;
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  std::string word;
  for (const char c : text + " ") {
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '\'') {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!word.empty()) {
      found.push_back(std::exchange(word, {}));
    }
  }
  return found;
}

double nats_per_byte(Session& session, const std::string& text) {
  std::vector<TokenId> ids = encode(session, text);
  ids.resize(std::min<size_t>(ids.size(), static_cast<size_t>(session.n_ctx())));
  double nats = 0;
  const auto status =
      session.append_all_logits(ids, [&](int32_t position, std::span<const float> logits) {
        const auto next = static_cast<size_t>(position) + 1;
        if (next < ids.size()) nats -= larder::runtime::log_probability(logits, ids[next]);
      });
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  const auto bytes = session.model().tokenizer()->decode(ids);
  REQUIRE(bytes.ok());
  return nats / static_cast<double>(bytes->size());
}

}  // namespace

TEST_CASE("stories260K: a greedy story is made of words that stories are made of") {
  const auto session = open("stories260K-f32.gguf");
  if (session == nullptr) return;
  const std::string story = continue_greedily(*session, "Once upon a time, there was", 200);
  MESSAGE(story);
  const std::vector<std::string> known =
      words(read_text(kShared + "/text/train/tinystories_merged.txt", 2 << 20));
  const std::set<std::string> dictionary(known.begin(), known.end());
  REQUIRE(dictionary.size() > 3000);
  const std::vector<std::string> said = words(story);
  const auto n_known = std::count_if(said.begin(), said.end(), [&](const std::string& word) {
    return dictionary.count(word) > 0;
  });
  REQUIRE(said.size() > 60);
  CHECK(static_cast<double>(n_known) / static_cast<double>(said.size()) > 0.95);
  CHECK(std::set<std::string>(said.begin(), said.end()).size() > 25);
}

TEST_CASE("stories260K: held-out stories are likely, the same letters in disorder are not") {
  const auto session = open("stories260K-f32.gguf");
  if (session == nullptr) return;
  std::string text = read_text(kShared + "/text/eval/tinystories_heldout.txt", 1000);
  const double ordered = nats_per_byte(*session, text);
  std::reverse(text.begin(), text.end());
  session->truncate(0);
  const double reversed = nats_per_byte(*session, text);
  MESSAGE(ordered, " nats a byte, reversed ", reversed);
  // Source: its author reports a validation loss of 1.297 nats a token, at about 2.3 bytes each.
  CHECK(ordered < 0.75);
  CHECK(reversed > 2 * ordered);
}

TEST_CASE("BabyLlama: simple English is likely, and disorder is not") {
  const auto session = open("babyllama-361-f32.gguf");
  if (session == nullptr) return;
  const std::string story = continue_greedily(*session, "The little boy went to the", 40);
  MESSAGE(story);
  CHECK(words(story).size() >= 5);
  session->truncate(0);
  std::string text = read_text(kShared + "/text/eval/tinystories_heldout.txt", 400);
  const double ordered = nats_per_byte(*session, text);
  std::reverse(text.begin(), text.end());
  session->truncate(0);
  const double reversed = nats_per_byte(*session, text);
  MESSAGE(ordered, " nats a byte, reversed ", reversed);
  CHECK(ordered < 1.6);
  CHECK(reversed > 1.3 * ordered);
}
