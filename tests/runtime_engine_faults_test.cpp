// Items that fail or are refused, and callers that give up: the others get what is theirs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>
#include <vector>

#include "tests/engine_items.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

TEST_CASE("engine: a cancelled pass goes on later, and nothing is lost") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto& model = *opened.model;
  const std::vector<EngineItem> items = make_items(model->config().n_vocab, 30, 13);
  const Results reference = run(*open(model, {}), items);
  const auto engine = open(model, {.batch_size = 16});
  Results results;
  for (const EngineItem& item : items) REQUIRE(engine->submit(item).ok());
  for (int step = 0; engine->n_held() > 0; ++step) {
    if (step % 3 == 0) engine->cancel();
    const Status status = engine->advance([&](EngineResult&& result) {
      const uint64_t tag = result.tag;
      results.emplace(tag, std::move(result));
    });
    CHECK(status.cause() == (step % 3 == 0 ? Cause::cancelled : Cause::ok));
  }
  check_same(results, reference);
  engine->cancel();
  engine->forget_cancel();
  CHECK(engine->advance([](EngineResult&&) {}).ok());
}

TEST_CASE("engine: a caller that runs out of memory loses the result in its hands, and no other") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto& model = *opened.model;
  const std::vector<EngineItem> items = make_items(model->config().n_vocab, 12, 7);
  const auto engine = open(model, {});
  for (const EngineItem& item : items) REQUIRE(engine->submit(item).ok());
  size_t n_told = 0, n_refused = 0;
  while (n_told < items.size()) {
    const Status status = engine->advance([&](EngineResult&& result) {
      CHECK(result.status.ok());
      if (++n_told % 3 == 0) throw std::bad_alloc();
    });
    if (status.ok()) continue;
    CHECK(status.cause() == Cause::out_of_memory);
    ++n_refused;
  }
  CHECK(n_refused == items.size() / 3);
  CHECK(engine->n_held() == 0);
}

TEST_CASE("engine: who is handed a result can submit more, but neither advance nor lose any") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto& model = *opened.model;
  const std::vector<EngineItem> items = make_items(model->config().n_vocab, 40, 19);
  const Results reference = run(*open(model, {}), items);
  const auto engine = open(model, {.batch_size = 16, .max_items = 6});
  Results results;
  auto next = items.begin();
  const auto fill = [&] {
    while (next != items.end() && engine->has_room()) REQUIRE(engine->submit(*next++).ok());
  };
  fill();
  int n_refused = 0;
  while (engine->n_held() > 0) {
    const Status status = engine->advance([&](EngineResult&& result) {
      const uint64_t tag = result.tag;
      fill();
      n_refused += engine->advance([](EngineResult&&) {}).cause() == Cause::invalid_argument;
      CHECK(results.emplace(tag, std::move(result)).second);
      if (tag % 5 == 0) throw std::bad_alloc();
    });
    CHECK((status.ok() || status.cause() == Cause::out_of_memory));
  }
  CHECK(engine->advance([&](EngineResult&&) { FAIL_CHECK("nothing is left"); }).ok());
  CHECK(n_refused == 40);
  check_same(results, reference);
}

TEST_CASE("engine: who is handed a result can forget all others") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto& model = *opened.model;
  std::vector<EngineItem> items = make_items(model->config().n_vocab, 8, 23);
  for (EngineItem& item : items) item.generation.reset();  // so that all end in one pass
  const auto engine = open(model, {});
  for (int round = 0; round < 2; ++round) {
    for (const EngineItem& item : items) REQUIRE(engine->submit(item).ok());
    int n_told = 0;
    const auto clear = [&](EngineResult&&) {
      ++n_told;
      engine->clear();
      CHECK(engine->submit(items[0]).ok());
    };
    CHECK(engine->advance(clear).ok());
    CHECK(n_told == 1);
    CHECK(engine->n_held() == 1);
    engine->clear();
  }
  check_same(run(*engine, items), run(*open(model, {}), items));
}

TEST_CASE("engine: numbers that are not finite fail the items that meet them, and no other") {
  tests::GgufBuilder builder = tests::tiny_model();
  const tests::OpenedModel sound = tests::open_model(builder);
  for (auto& tensor : builder.tensors)
    if (tensor.name == "token_embd.weight") tests::set_float(tensor, 32 * 77, INFINITY);
  const tests::OpenedModel opened = tests::open_model(builder);
  REQUIRE(opened.model.ok());
  std::vector<EngineItem> items = make_items((*opened.model)->config().n_vocab, 40, 17);
  for (EngineItem& item : items) item.generation.reset();  // which could choose the token
  const auto meets = [](const EngineItem& item) {
    if (item.first_scored < 0 || item.first_scored >= static_cast<int32_t>(item.tokens.size()))
      return false;
    return std::find(item.tokens.begin(), item.tokens.end() - 1, 77) != item.tokens.end() - 1;
  };
  items[4].first_scored = 1;
  items[4].tokens[2] = 77;
  const Results reference = run(*open(*sound.model, {}), items);
  const auto engine = open(*opened.model, {});
  const Results results = run(*engine, items);
  int n_failed = 0;
  for (const EngineItem& item : items) {
    const EngineResult& result = results.at(item.tag);
    if (meets(item)) {
      CHECK(result.status.cause() == Cause::numeric);
      ++n_failed;
    } else {
      check_same(result, reference.at(item.tag));
    }
  }
  CHECK(n_failed > 0);
}

TEST_CASE("engine: an item that cannot be run is refused with the reason, and not held") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const auto engine = open(*opened.model, {.max_items = 2});
  const auto cause = [&](const EngineItem& item) { return engine->submit(item).cause(); };
  EngineItem item;
  CHECK(cause(item) == Cause::invalid_argument);
  item.tokens = {1, 260};
  CHECK(cause(item) == Cause::invalid_argument);
  item.tokens = {1, -1};
  CHECK(cause(item) == Cause::invalid_argument);
  item.tokens.assign(98, 1);
  item.first_scored = 1;
  CHECK(cause(item) == Cause::context_full);
  item.tokens.resize(97);  // the last of which is only predicted
  item.generation.emplace();
  CHECK(cause(item) == Cause::context_full);
  item.generation->sampler.top_p = -1;
  CHECK(cause(item) == Cause::invalid_argument);
  item.generation.reset();
  item.first_scored = 0;
  CHECK(cause(item) == Cause::invalid_argument);
  item.first_scored = 1;
  item.source = {1};
  CHECK(cause(item) == Cause::unsupported);
  item.source.clear();
  CHECK(engine->n_held() == 0);
  CHECK(cause(item) == Cause::ok);
  CHECK(engine->n_held() == 1);
  CHECK(engine->has_room());
  engine->clear();
  CHECK(engine->n_held() == 0);
}
