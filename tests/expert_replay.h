// Hit rates of ways to keep experts in memory, over a trace.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/experts/expert_policy.h"
#include "tests/routing_trace.h"

namespace larder::tests {

enum class Pools : uint8_t { one, by_size };

// A trace as the slots see it: the prompt is one batch, which asks for each expert once a layer;
// then a token at a time.
struct ReplayPlan {
  const RoutingTrace& trace;
  Pools pools = Pools::one;
  double cached = 0;  // share of all experts that have slots

  runtime::ExpertPolicyShape shape() const;
};

// Shares of what tokens behind the prompt asked for that was there.
double replay_policy(const ReplayPlan& plan);
double replay_lru(const ReplayPlan& plan);     // the least recently used goes
double replay_belady(const ReplayPlan& plan);  // what is used last goes: the best there is
// The same, where a token's experts of a layer stay until all of them are there, as they have to.
double replay_belady_together(const ReplayPlan& plan);

}  // namespace larder::tests
