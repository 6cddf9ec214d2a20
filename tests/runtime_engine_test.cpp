// Many items at once: what each gets is what it would get alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/session/cache_pool.h"
#include "runtime/session/engine.h"
#include "tests/engine_items.h"
#include "tests/golden_case.h"
#include "tests/paged_model.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;
using formats::TokenId;

namespace {

// The same by sessions, one item after another.
EngineResult by_session(const std::shared_ptr<const Model>& model, const EngineItem& item,
                        int32_t n_ctx) {
  SessionOptions options;
  options.n_ctx = n_ctx;
  options.n_threads = 1;
  auto session = Session::create(model, options);
  REQUIRE(session.ok());
  EngineResult result;
  result.tag = item.tag;
  const auto take_top = [&](std::span<const float> logits) {
    std::vector<TokenLogprob> top(static_cast<size_t>(item.n_top));
    choose_best(logits, summarize(logits), top);
    result.top.insert(result.top.end(), top.begin(), top.end());
  };
  if (!item.source.empty()) REQUIRE((*session)->encode(item.source).ok());
  const auto n = static_cast<int32_t>(item.tokens.size());
  REQUIRE((*session)
              ->append_all_logits(
                  item.tokens,
                  [&](int32_t position, std::span<const float> logits) {
                    const int32_t index = position + 1;
                    if (item.first_scored < 0 || index < item.first_scored || index >= n) return;
                    const TokenId token = item.tokens[static_cast<size_t>(index)];
                    const auto best = std::max_element(logits.begin(), logits.end());
                    result.scores.push_back(
                        {log_probability(logits, token), best - logits.begin() == token});
                    take_top(logits);
                  })
              .ok());
  if (!item.generation) return result;
  Sampler sampler(item.generation->sampler, model->config().n_vocab);
  take_top((*session)->logits());
  auto generated = generate(**session, sampler, item.generation->options, {});
  REQUIRE(generated.ok());
  result.generation = std::move(*generated);
  return result;
}

struct Setting {
  const char* name;
  int n_threads;
  int32_t batch_size, max_items;
  size_t n_caches;  // of the longest item
  bool shares;
  bool is_shuffled;
};

}  // namespace

TEST_CASE("engine: an item gets what a session gives it alone") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto& model = *opened.model;
  std::vector<EngineItem> items = make_items(model->config().n_vocab, 40, 3);
  const Results results = run(*open(model, {}), items);
  for (const EngineItem& item : items) {
    EngineResult alone = by_session(model, item, 96);
    const EngineResult& ours = results.at(item.tag);
    // a session's sampler does not tell the best tokens of later places
    REQUIRE(ours.top.size() ==
            static_cast<size_t>(item.n_top) *
                (ours.scores.size() + (ours.generation ? ours.generation->tokens.size() : 0)));
    alone.top.resize(std::min(alone.top.size(), ours.top.size()));
    EngineResult cut = ours;
    cut.top.resize(alone.top.size());
    check_same(cut, alone);
  }
}

TEST_CASE("engine: results are the same bits in any order, batch, memory and sharing") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto& model = *opened.model;
  const std::vector<EngineItem> items = make_items(model->config().n_vocab, 120, 5);
  const Results reference = run(*open(model, {.batch_size = 96, .shares_prefixes = false}), items);
  const Setting settings[] = {{"shared", 1, 512, 256, 8, true, false},
                              {"one at a time", 1, 512, 1, 2, true, false},
                              {"one row", 1, 1, 16, 4, true, true},
                              {"odd rows, shuffled", 1, 7, 32, 4, true, true},
                              {"threads", 3, 33, 64, 16, true, true},
                              {"one cache", 1, 64, 120, 1, true, true},
                              {"little memory", 2, 64, 120, 2, true, false},
                              {"nothing shared", 2, 40, 50, 3, false, true}};
  const CachePool::Kind kind = {CacheType::f16, 512};
  for (const Setting& setting : settings) {
    INFO(std::string(setting.name));
    std::vector<EngineItem> ordered = items;
    if (setting.is_shuffled) std::shuffle(ordered.begin(), ordered.end(), std::mt19937(11));
    EngineOptions options;
    options.session.n_threads = setting.n_threads;
    options.batch_size = setting.batch_size;
    options.max_items = setting.max_items;
    options.shares_prefixes = setting.shares;
    options.cache_bytes = setting.n_caches * CachePool::bytes_for(model->config(), kind, 96);
    const auto engine = open(model, options);
    check_same(run(*engine, ordered), reference);
    const EngineStatistics& statistics = engine->statistics();
    CHECK(statistics.n_finished == items.size());
    CHECK((statistics.n_shared_rows > 0) == (setting.shares && setting.max_items > 1));
  }
}

TEST_CASE("engine: families with windows, latents, states and encoders give the same bits") {
  for (const char* name : {"gpt-oss", "deepseek-v2", "lfm2moe", "qwen3next", "llama4", "switch"}) {
    const auto golden = tests::load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no golden ", std::string(name));
      continue;
    }
    INFO(std::string(name));
    const auto& model = golden->model;
    std::vector<EngineItem> items = make_items(model->config().n_vocab, 30, 7);
    if (model->config().has_encoder()) {
      for (size_t i = 0; i < items.size(); ++i)
        items[i].source.assign(5 + i % 3, static_cast<TokenId>(3 + i % 2));
    }
    items[2].n_top = 0;  // of which a session tells only the first
    const Results alone = run(*open(model, {.batch_size = 96, .max_items = 1}), items);
    const Results shared = run(*open(model, {.batch_size = 64}), items);
    check_same(shared, alone);
    EngineOptions tight = {.batch_size = 9};
    tight.cache_bytes = 1;  // what the longest item needs
    check_same(run(*open(model, tight), items), alone);
    check_same(alone.at(2), by_session(model, items[2], 96));
  }
}

TEST_CASE("engine: paged experts give the same bits, in small passes and large") {
  const tests::TinyFile file;
  const std::vector<EngineItem> items = make_items(file.model->config().n_vocab, 60, 9);
  const Results reference = run(*open(file.model, {}), items);
  for (const int32_t rows : {0, 8}) {
    EngineOptions options = {.batch_size = rows};
    options.session.n_threads = 1;
    options.session.n_ctx = 96;
    options.session.ram_bytes = kUnlimitedRam;
    const auto whole = Engine::plan(*file.model, options);
    REQUIRE(whole.ok());
    CHECK_FALSE(whole->is_paged);
    options.session.ram_bytes = whole->floor_bytes;
    const auto plan = Engine::plan(*file.model, options);
    REQUIRE_MESSAGE(plan.ok(), plan.status().to_string());
    CHECK(plan->total_bytes() <= options.session.ram_bytes);
    const auto engine = open(file.model, options);
    check_same(run(*engine, items), reference);
    CHECK(engine->ram().total_bytes() <= options.session.ram_bytes);
    if (engine->ram().is_paged) CHECK(engine->expert_statistics().has_value());
  }
}

TEST_CASE("engine: a beginning that items share is computed once") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  std::vector<EngineItem> items(4);
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].tag = i;
    for (TokenId t = 0; t < 60; ++t) items[i].tokens.push_back(t * 7 % 256);
    items[i].first_scored = 60;
    for (TokenId t = 0; t < 3; ++t) items[i].tokens.push_back(static_cast<TokenId>(i) + t);
  }
  const auto engine = open(*opened.model, {});
  (void)run(*engine, items);
  CHECK(engine->statistics().n_rows == 60 + 4 * 2);
  CHECK(engine->statistics().n_shared_rows == 3 * 60);
  CHECK(engine->statistics().n_passes == 2);
}

TEST_CASE("engine: generation ends where a session's does") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  EngineItem item;
  item.tokens = {72, 101, 108};
  item.generation.emplace();
  item.generation->sampler.seed = 4;
  item.generation->options.ignore_end = true;
  const auto engine = open(*opened.model, {});
  const Results results = run(*engine, {item});
  const Generation& generation = *results.at(0).generation;
  CHECK(generation.reason == StopReason::context_full);
  CHECK(generation.tokens.size() == 96 - 3 + 1);
  check_same(results.at(0), by_session(*opened.model, item, 96));
}
