// Items for engines, and what they must give.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/session/engine.h"

namespace larder::tests {

using namespace larder::runtime;
using formats::TokenId;

using Results = std::map<uint64_t, EngineResult>;

inline std::unique_ptr<Engine> open(const std::shared_ptr<const Model>& model,
                                    EngineOptions options) {
  if (options.session.n_threads == 0) options.session.n_threads = 1;
  if (options.session.n_ctx == 0) options.session.n_ctx = 96;
  auto engine = Engine::create(model, options);
  REQUIRE_MESSAGE(engine.ok(), engine.status().to_string());
  return std::move(*engine);
}

inline void advance(Engine& engine, Results& results) {
  const Status status = engine.advance([&](EngineResult&& result) {
    const uint64_t tag = result.tag;
    CHECK(results.emplace(tag, std::move(result)).second);
  });
  REQUIRE_MESSAGE(status.ok(), status.to_string());
}

inline Results run(Engine& engine, const std::vector<EngineItem>& items) {
  Results results;
  for (const EngineItem& item : items) {
    while (!engine.has_room()) advance(engine, results);
    const Status status = engine.submit(item);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
  }
  while (engine.n_held() > 0) advance(engine, results);
  CHECK(results.size() == items.size());
  return results;
}

// Texts with and without common beginnings, scored, continued, and both.
inline std::vector<EngineItem> make_items(int32_t n_vocab, size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  const auto token = [&] {
    return static_cast<TokenId>(random() % static_cast<uint32_t>(n_vocab));
  };
  std::vector<std::vector<TokenId>> beginnings(5);
  for (size_t b = 1; b < beginnings.size(); ++b) {
    if (b > 2) beginnings[b] = beginnings[b - 1];
    for (int i = 0; i < 20; ++i) beginnings[b].push_back(token());
  }
  std::vector<EngineItem> items(n);
  for (size_t i = 0; i < n; ++i) {
    EngineItem& item = items[i];
    item.tag = i;
    item.tokens = beginnings[random() % beginnings.size()];
    const size_t n_own = i % 7 == 0 ? 0 : random() % 25;
    while (item.tokens.empty() || n_own + 20 > item.tokens.size()) item.tokens.push_back(token());
    if (i % 3 != 0) item.first_scored = 1 + static_cast<int32_t>(random() % item.tokens.size());
    item.n_top = static_cast<int32_t>(i % 4);
    if (i % 3 == 1) continue;
    item.generation.emplace();
    item.generation->sampler.seed = i;
    item.generation->sampler.temperature = i % 2 == 0 ? 0.0f : 1.0f;
    item.generation->sampler.repeat_penalty = i % 5 == 0 ? 1.2f : 1.0f;
    item.generation->options.max_tokens = static_cast<int32_t>(i % 11);
    item.generation->options.stop = {"e"};
  }
  return items;
}

// Bit for bit.
inline bool are_same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

inline void check_same(const EngineResult& a, const EngineResult& b) {
  INFO("item " << a.tag);
  REQUIRE(a.status.ok() == b.status.ok());
  REQUIRE(a.scores.size() == b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    CHECK(are_same(a.scores[i].logprob, b.scores[i].logprob));
    CHECK(a.scores[i].is_argmax == b.scores[i].is_argmax);
  }
  REQUIRE(a.top.size() == b.top.size());
  for (size_t i = 0; i < a.top.size(); ++i) {
    CHECK(a.top[i].token == b.top[i].token);
    CHECK(are_same(a.top[i].logprob, b.top[i].logprob));
  }
  REQUIRE(a.generation.has_value() == b.generation.has_value());
  if (!a.generation) return;
  CHECK(a.generation->text == b.generation->text);
  CHECK(a.generation->tokens == b.generation->tokens);
  CHECK(a.generation->logprobs == b.generation->logprobs);
  CHECK(a.generation->reason == b.generation->reason);
}

inline void check_same(const Results& a, const Results& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [tag, result] : a) check_same(result, b.at(tag));
}

}  // namespace larder::tests
