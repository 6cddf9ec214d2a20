#include "tests/expert_replay.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

namespace larder::tests {
namespace {

struct Access {
  int32_t layer, expert;
  bool counts;    // behind the prompt
  int64_t group;  // those that stay together
};

// Ascending experts of a layer, each once.
std::vector<int32_t> distinct(std::vector<int32_t> experts) {
  std::sort(experts.begin(), experts.end());
  experts.erase(std::unique(experts.begin(), experts.end()), experts.end());
  return experts;
}

struct Step {
  int layer;
  std::vector<int32_t> rows;  // [n_rows][n_active]
  bool is_prompt;
};

std::vector<Step> steps_of(const RoutingTrace& trace) {
  std::vector<Step> steps;
  for (int layer = 0; layer < trace.n_layers; ++layer) {
    Step step = {layer, {}, true};
    for (const TokenChoices& token : trace.prompt) {
      const LayerChoices& row = token[static_cast<size_t>(layer)];
      step.rows.insert(step.rows.end(), row.begin(), row.end());
    }
    steps.push_back(step);
  }
  for (const TokenChoices& token : trace.tokens) {
    for (int layer = 0; layer < trace.n_layers; ++layer) {
      steps.push_back({layer, token[static_cast<size_t>(layer)], false});
    }
  }
  return steps;
}

// By pool: an expert of one pool never stands in the way of another's.
std::map<int32_t, std::vector<Access>> accesses_of(const ReplayPlan& plan,
                                                   const runtime::ExpertPolicyShape& shape) {
  std::map<int32_t, std::vector<Access>> accesses;
  int64_t group = 0;
  for (const Step& step : steps_of(plan.trace)) {
    const int32_t pool = shape.layers[static_cast<size_t>(step.layer)].pool;
    ++group;
    for (const int32_t expert : distinct(step.rows)) {
      if (step.is_prompt) ++group;
      accesses[pool].push_back({step.layer, expert, !step.is_prompt, group});
    }
  }
  return accesses;
}

struct Rate {
  int64_t n_hits = 0, n_asked = 0;
  void count(bool is_hit) {
    ++n_asked;
    n_hits += is_hit;
  }
  double share() const { return static_cast<double>(n_hits) / static_cast<double>(n_asked); }
};

// The victim has the greatest key; key(i) is that of access i's expert from then on.
void replay_by_key(const std::vector<Access>& accesses, int32_t n_slots, bool is_together,
                   const std::function<int64_t(size_t)>& key, Rate& rate) {
  struct Resident {
    int64_t key, group;
  };
  std::map<std::pair<int32_t, int32_t>, Resident> residents;
  std::set<std::pair<int64_t, std::pair<int32_t, int32_t>>> order;
  for (size_t i = 0; i < accesses.size(); ++i) {
    const std::pair<int32_t, int32_t> expert = {accesses[i].layer, accesses[i].expert};
    const auto found = residents.find(expert);
    if (accesses[i].counts) rate.count(found != residents.end());
    if (found != residents.end()) {
      order.erase({found->second.key, expert});
    } else if (static_cast<int32_t>(residents.size()) >= n_slots) {
      auto victim = std::prev(order.end());
      while (is_together && residents[victim->second].group == accesses[i].group) --victim;
      residents.erase(victim->second);
      order.erase(victim);
    }
    residents[expert] = {key(i), accesses[i].group};
    order.insert({key(i), expert});
  }
}

std::vector<int64_t> next_uses(const std::vector<Access>& accesses) {
  std::vector<int64_t> next(accesses.size());
  std::map<std::pair<int32_t, int32_t>, int64_t> later;
  for (size_t i = accesses.size(); i-- > 0;) {
    const auto [found, is_last] = later.try_emplace({accesses[i].layer, accesses[i].expert},
                                                    std::numeric_limits<int64_t>::max());
    next[i] = found->second;
    found->second = static_cast<int64_t>(i);
  }
  return next;
}

double belady(const ReplayPlan& plan, bool is_together) {
  const runtime::ExpertPolicyShape shape = plan.shape();
  Rate rate;
  for (const auto& [pool, accesses] : accesses_of(plan, shape)) {
    const std::vector<int64_t> next = next_uses(accesses);
    replay_by_key(
        accesses, shape.pool_slots[static_cast<size_t>(pool)], is_together,
        [&](size_t i) { return next[i]; }, rate);
  }
  return rate.share();
}

}  // namespace

runtime::ExpertPolicyShape ReplayPlan::shape() const {
  runtime::ExpertPolicyShape shape;
  std::map<int64_t, int32_t> pool_of;
  std::vector<int32_t> n_experts;
  for (const int64_t bytes : trace.expert_bytes) {
    const auto [found, is_new] = pool_of.try_emplace(pools == Pools::one ? 0 : bytes,
                                                     static_cast<int32_t>(n_experts.size()));
    if (is_new) n_experts.push_back(0);
    n_experts[static_cast<size_t>(found->second)] += trace.n_experts;
    shape.layers.push_back({trace.n_experts, found->second});
  }
  for (const int32_t n : n_experts) {
    shape.pool_slots.push_back(
        std::max(trace.n_active, static_cast<int32_t>(std::lround(n * cached))));
  }
  return shape;
}

double replay_policy(const ReplayPlan& plan) {
  runtime::ExpertPolicy policy(plan.shape());
  Rate rate;
  std::vector<int32_t> pinned;
  for (const Step& step : steps_of(plan.trace)) {
    policy.observe({step.layer, step.rows, plan.trace.n_active, 1});
    for (const int32_t expert : distinct(step.rows)) {
      const runtime::ExpertPlace place = policy.take(step.layer, expert);
      if (!step.is_prompt) rate.count(place.is_hit);
      pinned.push_back(place.slot);
      // A prompt's experts come and go; a token's are together.
      if (step.is_prompt) {
        policy.release(place.slot);
        pinned.pop_back();
      }
    }
    for (const int32_t slot : pinned) policy.release(slot);
    pinned.clear();
  }
  return rate.share();
}

double replay_lru(const ReplayPlan& plan) {
  const runtime::ExpertPolicyShape shape = plan.shape();
  Rate rate;
  for (const auto& [pool, accesses] : accesses_of(plan, shape)) {
    replay_by_key(
        accesses, shape.pool_slots[static_cast<size_t>(pool)], false,
        [](size_t i) { return -static_cast<int64_t>(i); }, rate);
  }
  return rate.share();
}

double replay_belady(const ReplayPlan& plan) { return belady(plan, false); }
double replay_belady_together(const ReplayPlan& plan) { return belady(plan, true); }

}  // namespace larder::tests
