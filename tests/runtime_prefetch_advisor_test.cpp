// Reading ahead, over traces, with oracles of known precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "runtime/experts/prefetch_advisor.h"
#include "tests/expert_replay.h"

using namespace larder::runtime;
using namespace larder::tests;

namespace {

// Names the expert of rank r rightly with this chance, otherwise one that just missed being chosen.
struct Oracle {
  std::string name;
  double first, last;             // chances of the best and of the worst rank
  int turns_bad_after = 1 << 30;  // tokens; from then on it is always wrong
  double most_extra = 0.01;       // of bytes
};

struct Traffic {
  int64_t n_asked = 0, n_waited = 0;  // experts behind the prompt
  int64_t n_read = 0, n_ahead = 0, n_ahead_used = 0;
  int64_t n_predictions = 0;
  double extra_over(const Traffic& other) const {
    return static_cast<double>(n_read) / static_cast<double>(other.n_read) - 1;
  }
};

class Reader {
 public:
  Reader(const ReplayPlan& plan, const Oracle* oracle)
      : plan_(plan), oracle_(oracle), policy_(plan.shape()), advisor_(plan.trace.n_active, {}) {}

  Traffic run() {
    const int n_layers = plan_.trace.n_layers;
    for (const TokenChoices& token : plan_.trace.prompt) {
      for (int layer = 0; layer < n_layers; ++layer) compute(layer, token[at(layer)]);
    }
    traffic_ = {};
    for (size_t i = 0; i < plan_.trace.tokens.size(); ++i) {
      const TokenChoices &token = plan_.trace.tokens[i], &next_best = plan_.trace.next_best[i];
      const bool predicts = oracle_ != nullptr && advisor_.begin_step();
      for (int layer = 0; layer < n_layers; ++layer) {
        compute(layer, token[at(layer)]);
        if (predicts && layer + 1 < n_layers) {
          read_ahead(layer + 1, token[at(layer + 1)], next_best[at(layer + 1)]);
        }
      }
      ++n_tokens_;
    }
    return traffic_;
  }

 private:
  static size_t at(int layer) { return static_cast<size_t>(layer); }

  void compute(int layer, const LayerChoices& chosen) {
    policy_.observe({layer, chosen, plan_.trace.n_active, 1});
    int32_t n_missing = 0;
    std::vector<int32_t> slots;
    for (const int32_t e : chosen) {
      const ExpertPlace place = policy_.take(layer, e);
      n_missing += !place.is_hit;
      slots.push_back(place.slot);
    }
    for (const int32_t slot : slots) policy_.release(slot);
    traffic_.n_asked += static_cast<int64_t>(chosen.size());
    traffic_.n_waited += n_missing;
    traffic_.n_read += n_missing;
    for (const int32_t e : ahead_)
      traffic_.n_ahead_used += std::count(chosen.begin(), chosen.end(), e);
    ahead_.clear();
    advisor_.observe(layer, chosen, n_missing);
  }

  LayerChoices predict(const LayerChoices& chosen, const LayerChoices& next_best) {
    LayerChoices named;
    size_t n_wrong = 0;
    for (size_t rank = 0; rank < chosen.size(); ++rank) {
      const double share = static_cast<double>(rank) / static_cast<double>(chosen.size() - 1);
      const double chance = oracle_->first + (oracle_->last - oracle_->first) * share;
      const bool is_right = n_tokens_ < oracle_->turns_bad_after &&
                            static_cast<double>(random_() % 10000) < 10000 * chance;
      named.push_back(is_right ? chosen[rank] : next_best[n_wrong++]);
    }
    return named;
  }

  void read_ahead(int layer, const LayerChoices& chosen, const LayerChoices& next_best) {
    ++traffic_.n_predictions;
    const LayerChoices named = predict(chosen, next_best);
    std::vector<uint8_t> is_missing;
    for (const int32_t e : named) is_missing.push_back(policy_.find(layer, e) < 0);
    std::vector<int32_t> ranks(named.size());
    ranks.resize(advisor_.advise({layer, named, is_missing}, ranks));
    for (const int32_t rank : ranks) {
      const int32_t e = named[static_cast<size_t>(rank)];
      const ExpertPlace place = policy_.take_ahead(layer, e, advisor_.precision(rank));
      if (place.slot < 0) continue;
      policy_.release(place.slot);
      advisor_.started(rank);
      ahead_.push_back(e);
      ++traffic_.n_read;
      ++traffic_.n_ahead;
    }
  }

  const ReplayPlan& plan_;
  const Oracle* oracle_;
  ExpertPolicy policy_;
  PrefetchAdvisor advisor_;
  Traffic traffic_;
  std::vector<int32_t> ahead_;
  int n_tokens_ = 0;
  std::minstd_rand random_{11};
};

}  // namespace

TEST_CASE(
    "prefetch advisor: an oracle that is often wrong costs 1 % of bytes, one that turns bad 7 %") {
  for (const TraceRecipe& recipe : {near_uniform(), qwen_like()}) {
    const RoutingTrace trace = drawn_trace(recipe);
    for (const double cached : {0.05, 0.125, 0.25, 0.5}) {
      const ReplayPlan plan = {trace, Pools::one, cached};
      const Traffic without = Reader(plan, nullptr).run();
      for (const Oracle& oracle :
           {Oracle{"no better than chance", 0.06, 0.06}, Oracle{"the token before", 0.45, 0.25},
            Oracle{"just below what pays", 0.58, 0.5}, Oracle{"turns bad", 0.97, 0.9, 64, 0.07}}) {
        const Traffic with = Reader(plan, &oracle).run();
        MESSAGE(trace.name << ", " << cached << " cached, " << oracle.name << ": bytes "
                           << 100 * with.extra_over(without) << " %, read ahead " << with.n_ahead
                           << ", used " << with.n_ahead_used << ", waited for " << with.n_waited
                           << " of " << without.n_waited);
        CHECK(with.extra_over(without) <= oracle.most_extra);
      }
    }
  }
}

TEST_CASE("prefetch advisor: a good oracle takes waiting away inside the same limit of bytes") {
  const RoutingTrace trace = drawn_trace(qwen_like());
  // Source: recall of the next layer's router on this layer's input, Qwen3-30B-A3B, 2026-08.
  const Oracle oracle = {"next router", 0.97, 0.80};
  for (const double cached : {0.125, 0.25, 0.5}) {
    const ReplayPlan plan = {trace, Pools::one, cached};
    const Traffic without = Reader(plan, nullptr).run(), with = Reader(plan, &oracle).run();
    MESSAGE(cached << " cached: bytes " << 100 * with.extra_over(without) << " %, read ahead "
                   << with.n_ahead << ", used " << with.n_ahead_used << ", waited for "
                   << with.n_waited << " of " << without.n_waited);
    CHECK(with.extra_over(without) <= PrefetchRules{}.max_growth);
    CHECK(with.n_waited < without.n_waited);
  }
}

TEST_CASE("prefetch advisor: predictions that do not pay are hardly made any more") {
  const RoutingTrace trace = drawn_trace(near_uniform());
  const ReplayPlan plan = {trace, Pools::one, 0.25};
  const Oracle wrong = {"wrong", 0.1, 0.1};
  const Traffic with = Reader(plan, &wrong).run();
  const auto all = static_cast<int64_t>(trace.tokens.size()) * (trace.n_layers - 1);
  CHECK(with.n_predictions < all / 5);
  CHECK(with.n_ahead == 0);
}

TEST_CASE("prefetch advisor: it begins in doubt, believes what is right, and doubts again") {
  PrefetchAdvisor advisor(2, {});
  std::vector<int32_t> ranks(2);
  const std::vector<int32_t> named = {3, 4};
  const std::vector<uint8_t> missing = {1, 1};
  int first_read = -1, last_read = -1, n_unread = 0;
  advisor.observe(0, named, 10000);
  for (int i = 0; i < 400; ++i) {
    const bool is_right = i < 100 || i >= 200;
    const bool predicts = advisor.begin_step();
    if (!predicts) {
      ++n_unread;
      advisor.observe(1, named, 2);
      continue;
    }
    const size_t n = advisor.advise({1, named, missing}, ranks);
    for (size_t j = 0; j < n; ++j) advisor.started(ranks[j]);
    if (n > 0 && first_read < 0) first_read = i;
    if (n > 0 && i < 200) last_read = i;
    advisor.observe(1, is_right ? named : std::vector<int32_t>{7, 8}, 2);
  }
  CHECK(first_read >= 8);
  CHECK(first_read < 20);
  CHECK(last_read >= 100);
  CHECK(last_read < 140);
  CHECK(n_unread > 30);
  CHECK(advisor.precision(0) > 0);
}

TEST_CASE("prefetch advisor: it names ranks that are missing, best first, no more than fit") {
  PrefetchAdvisor advisor(4, {});
  std::vector<int32_t> ranks(4);
  const std::vector<int32_t> named = {9, 8, 7, 6};
  const std::vector<uint8_t> all = {1, 1, 1, 1}, some = {0, 1, 0, 1};
  for (int i = 0; i < 60; ++i) {
    advisor.begin_step();
    advisor.advise({2, named, all}, ranks);
    advisor.observe(2, std::vector<int32_t>{9, 8, 6, 0}, 50);  // rank 2 is never right
  }
  REQUIRE(advisor.begin_step());
  CHECK(advisor.is_on());
  CHECK(advisor.advise({2, named, all}, ranks) == 3);
  CHECK(ranks[0] == 0);
  CHECK(ranks[1] == 1);
  CHECK(ranks[2] == 3);
  CHECK(advisor.advise({2, named, some}, ranks) == 2);
  CHECK(ranks[0] == 1);
  CHECK(ranks[1] == 3);
  CHECK(advisor.advise({2, named, all}, std::span(ranks).first(1)) == 1);
  CHECK(advisor.precision(2) == 0);
}
