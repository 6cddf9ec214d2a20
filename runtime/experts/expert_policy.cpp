#include "runtime/experts/expert_policy.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace larder::runtime {
namespace {

// Chance times wait to the minus this power: between no regard for the wait (0), and chance a time
// (1), which trusts the estimates too much. Source: search over replays of recorded traces of
// Qwen3-30B-A3B and Gemma-4-26B-A4B at 0.5 to 7 token cycles.
constexpr float kWaitPower = 0.4f;

std::vector<int32_t> experts_of(const ExpertPolicyShape& shape) {
  std::vector<int32_t> n_experts;
  for (const ExpertLayerShape& layer : shape.layers) n_experts.push_back(layer.n_experts);
  return n_experts;
}

}  // namespace

ExpertPolicy::ExpertPolicy(const ExpertPolicyShape& shape) : forecast_(experts_of(shape)) {
  size_t n_experts = 0;
  for (const ExpertLayerShape& layer : shape.layers) {
    assert(layer.n_experts == 0 || static_cast<size_t>(layer.pool) < shape.pool_slots.size());
    Layer one;
    one.n_experts = layer.n_experts;
    one.pool = layer.pool;
    one.first = n_experts;
    layers_.push_back(one);
    n_experts += static_cast<size_t>(layer.n_experts);
  }
  experts_.resize(n_experts);
  residents_.resize(n_experts);
  for (const int32_t n : shape.pool_slots) {
    const int32_t first = n_slots();
    pools_.push_back({first, n > 0 ? first : -1});
    slots_.resize(slots_.size() + static_cast<size_t>(n));
    for (int32_t slot = first; slot + 1 < n_slots(); ++slot) {
      slots_[static_cast<size_t>(slot)].next_free = slot + 1;
    }
  }
  const auto n_layers = static_cast<float>(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    nearness_.push_back(std::pow(static_cast<float>(i + 1) / n_layers, -kWaitPower));
  }
}

size_t ExpertPolicy::bytes(const ExpertPolicyShape& shape) noexcept {
  size_t n_experts = 0, n_slots = 0;
  for (const ExpertLayerShape& layer : shape.layers)
    n_experts += static_cast<size_t>(layer.n_experts);
  for (const int32_t n : shape.pool_slots) n_slots += static_cast<size_t>(n);
  return ExpertForecast::bytes(shape.layers.size(), n_experts) +
         n_experts * (sizeof(Expert) + sizeof(int32_t)) + n_slots * sizeof(Slot) +
         shape.layers.size() * (sizeof(Layer) + sizeof(float)) +
         shape.pool_slots.size() * sizeof(Pool);
}

void ExpertPolicy::observe(const LayerRoutes& routes) noexcept {
  if (routes.experts.empty()) return;
  forecast_.observe(routes);
  layer_now_ = routes.layer;
  Layer& layer = layers_[static_cast<size_t>(routes.layer)];
  for (int32_t e = 0; e < layer.n_experts; ++e) {
    at(routes.layer, e).is_wanted = false;
    at(routes.layer, e).foretold = 0;
  }
  for (const int32_t e : routes.experts) at(routes.layer, e).is_wanted = true;
  layer.knows_worst = false;
}

void ExpertPolicy::import_use(std::span<const float> use, float n_tokens) noexcept {
  forecast_.import_use(use, n_tokens);
  for (Layer& layer : layers_) layer.knows_worst = false;
}

int32_t ExpertPolicy::find(int layer, int32_t expert) const noexcept {
  return at(layer, expert).slot;
}

int32_t ExpertPolicy::first_slot(int32_t pool) const noexcept {
  return pools_[static_cast<size_t>(pool)].first_slot;
}

float ExpertPolicy::chance(int layer, int32_t expert) const noexcept {
  return std::max(forecast_.chance(layer, expert), at(layer, expert).foretold);
}

// Experts that are wanted go after all others; among equals the lowest index goes.
int32_t ExpertPolicy::find_worst(int index) noexcept {
  Layer& layer = layers_[static_cast<size_t>(index)];
  if (layer.knows_worst) return layer.worst;
  layer.knows_worst = true;
  layer.worst = -1;
  bool is_wanted = true;
  float least = 0;
  for (int32_t i = 0; i < layer.n_residents; ++i) {
    const int32_t e = residents_[layer.first + static_cast<size_t>(i)];
    const Expert& expert = at(index, e);
    if (slots_[static_cast<size_t>(expert.slot)].n_pins > 0) continue;
    const float chance_here = chance(index, e);
    const bool goes_first = expert.is_wanted != is_wanted ? is_wanted
                            : chance_here != least        ? chance_here < least
                                                          : e < layer.worst;
    if (layer.worst >= 0 && !goes_first) continue;
    layer.worst = e;
    is_wanted = expert.is_wanted;
    least = chance_here;
  }
  return layer.worst;
}

// Of a resident: its chance for the time until its layer comes.
float ExpertPolicy::worth(int layer, float chance) const noexcept {
  const int n_layers = static_cast<int>(layers_.size());
  const int wait = (layer - layer_now_ - 1 + n_layers) % n_layers;
  return chance * nearness_[static_cast<size_t>(wait)];
}

// The resident of a pool that goes first; layer -1: all of its slots are pinned.
ExpertPolicy::Victim ExpertPolicy::find_victim(int32_t pool) noexcept {
  Victim victim;
  for (int i = 0; i < static_cast<int>(layers_.size()); ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    if (layer.pool != pool || layer.n_residents == 0) continue;
    const int32_t e = find_worst(i);
    if (e < 0) continue;
    const Expert& expert = at(i, e);
    const float worth_here = worth(i, chance(i, e));
    const bool goes_first =
        expert.is_wanted != victim.is_wanted ? victim.is_wanted : worth_here < victim.worth;
    if (victim.layer < 0 || goes_first) victim = {i, e, worth_here, expert.is_wanted};
  }
  return victim;
}

void ExpertPolicy::leave(const Slot& slot) noexcept {
  Layer& layer = layers_[static_cast<size_t>(slot.layer)];
  Expert& expert = at(slot.layer, slot.expert);
  const int32_t last = residents_[layer.first + static_cast<size_t>(--layer.n_residents)];
  residents_[layer.first + static_cast<size_t>(expert.place)] = last;
  at(slot.layer, last).place = expert.place;
  expert.slot = -1;
  layer.knows_worst = false;
}

void ExpertPolicy::settle(int index, int32_t e, int32_t slot) noexcept {
  Layer& layer = layers_[static_cast<size_t>(index)];
  Expert& expert = at(index, e);
  expert.slot = slot;
  expert.place = layer.n_residents++;
  residents_[layer.first + static_cast<size_t>(expert.place)] = e;
  slots_[static_cast<size_t>(slot)] = {index, e, 1, -1};
  layer.knows_worst = false;
}

int32_t ExpertPolicy::free_slot(Pool& pool) noexcept {
  const int32_t slot = pool.first_free;
  if (slot >= 0) pool.first_free = slots_[static_cast<size_t>(slot)].next_free;
  return slot;
}

int32_t ExpertPolicy::evict(const Victim& victim) noexcept {
  const int32_t slot = at(victim.layer, victim.expert).slot;
  leave(slots_[static_cast<size_t>(slot)]);
  return slot;
}

ExpertPlace ExpertPolicy::take(int layer, int32_t e) noexcept {
  Expert& expert = at(layer, e);
  expert.is_wanted = false;
  if (expert.slot >= 0) {
    ++slots_[static_cast<size_t>(expert.slot)].n_pins;
    layers_[static_cast<size_t>(layer)].knows_worst = false;
    return {expert.slot, true};
  }
  const int32_t pool = layers_[static_cast<size_t>(layer)].pool;
  int32_t slot = free_slot(pools_[static_cast<size_t>(pool)]);
  if (slot < 0) {
    const Victim victim = find_victim(pool);
    if (victim.layer < 0) return {};
    slot = evict(victim);
  }
  settle(layer, e, slot);
  return {slot, false};
}

ExpertPlace ExpertPolicy::take_ahead(int layer, int32_t e, float chance) noexcept {
  assert(find(layer, e) < 0);
  const int32_t pool = layers_[static_cast<size_t>(layer)].pool;
  int32_t slot = free_slot(pools_[static_cast<size_t>(pool)]);
  if (slot < 0) {
    const Victim victim = find_victim(pool);
    if (victim.layer < 0 || victim.is_wanted || victim.worth >= worth(layer, chance)) return {};
    slot = evict(victim);
  }
  settle(layer, e, slot);
  at(layer, e).foretold = chance;
  return {slot, false};
}

void ExpertPolicy::release(int32_t index) noexcept {
  Slot& slot = slots_[static_cast<size_t>(index)];
  assert(slot.n_pins > 0);
  if (--slot.n_pins > 0) return;
  if (slot.expert >= 0) {
    layers_[static_cast<size_t>(slot.layer)].knows_worst = false;
    return;
  }
  // The pool that the slot belongs to: the last that begins at or before it.
  auto pool = std::find_if(pools_.rbegin(), pools_.rend(),
                           [&](const Pool& one) { return one.first_slot <= index; });
  slot.next_free = pool->first_free;
  pool->first_free = index;
}

void ExpertPolicy::drop(int32_t index) noexcept {
  Slot& slot = slots_[static_cast<size_t>(index)];
  assert(slot.n_pins > 0);
  if (slot.expert < 0) return;
  leave(slot);
  slot.layer = slot.expert = -1;
}

}  // namespace larder::runtime
