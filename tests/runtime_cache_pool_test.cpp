// Sequences of different lengths that share one piece of memory.
#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <vector>

#include "runtime/session/cache_pool.h"
#include "runtime/session/softmax.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;

namespace {

constexpr CachePool::Kind kKind = {CacheType::f16, 64};

std::shared_ptr<CachePool::Lease> lease(CachePool& pool, int32_t capacity) {
  auto leased = pool.lease(capacity);
  REQUIRE(leased.ok());
  return std::move(*leased);
}

}  // namespace

TEST_CASE("cache pool: sequences take what they need, and give it back") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const ModelConfig& config = (*opened.model)->config();
  const size_t one = CachePool::bytes_for(config, kKind, 100);
  auto pool = CachePool::create(config, kKind, 3 * one);
  REQUIRE(pool.ok());
  auto a = lease(**pool, 100), b = lease(**pool, 100), c = lease(**pool, 100);
  REQUIRE((a && b && c));
  CHECK(a->state().capacity() == 100);
  CHECK(lease(**pool, 1) == nullptr);
  b.reset();
  auto d = lease(**pool, 40), e = lease(**pool, 40);  // both where b was
  REQUIRE((d && e));
  CHECK(lease(**pool, 100) == nullptr);
  d.reset();
  e.reset();
  CHECK(lease(**pool, 100) != nullptr);
  a.reset();
  c.reset();
  CHECK(lease(**pool, 101) != nullptr);
}

TEST_CASE("cache pool: leases in any order never share memory, and all of it comes back") {
  const tests::OpenedModel opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  const ModelConfig& config = (*opened.model)->config();
  auto pool = CachePool::create(config, kKind, CachePool::bytes_for(config, kKind, 500));
  REQUIRE(pool.ok());
  std::mt19937 random(3);
  std::vector<std::shared_ptr<CachePool::Lease>> held;
  for (int step = 0; step < 2000; ++step) {
    if (random() % 2 == 0 && !held.empty()) {
      held.erase(held.begin() + static_cast<ptrdiff_t>(random() % held.size()));
      continue;
    }
    if (auto fresh = lease(**pool, 1 + static_cast<int32_t>(random() % 200)))
      held.push_back(std::move(fresh));
    for (size_t i = 0; i < held.size(); ++i) {
      for (size_t j = 0; j < held.size(); ++j) {
        const auto begin = [&](size_t k) {
          return static_cast<const std::byte*>(held[k]->state().keys(0, 0).data);
        };
        const size_t bytes = CachePool::bytes_for(config, kKind, held[i]->state().capacity());
        if (i != j && begin(i) < begin(j)) CHECK(begin(i) + bytes <= begin(j));
      }
    }
  }
  held.clear();
  CHECK(lease(**pool, 500) != nullptr);
}

TEST_CASE("softmax: the best tokens come in order, of equals the lower first") {
  const std::vector<float> logits = {1, 3, 2, 3, -4, 3, 0};
  const LogitsSummary summary = summarize(logits);
  CHECK(summary.argmax == 1);
  std::vector<TokenLogprob> best(5);
  choose_best(logits, summary, best);
  const std::vector<formats::TokenId> expected = {1, 3, 5, 2, 0};
  for (size_t i = 0; i < best.size(); ++i) {
    CHECK(best[i].token == expected[i]);
    CHECK(best[i].logprob == logits[static_cast<size_t>(expected[i])] - summary.log_sum_exp);
  }
  choose_best(logits, summary, {});
}
