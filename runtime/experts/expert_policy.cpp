#include "runtime/experts/expert_policy.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace larder::runtime {
namespace {

// What a use still counts a token later: in what was used just now, in a session's habits (half of
// it after 27 tokens) and in the model's (after 1400). Source: best of a search over replays of
// traces of Qwen3-30B-A3B and Gemma-4-26B-A4B at 0.5 to 7 token cycles; flat around these values.
constexpr float kRecentFade = 0.3f, kSteadyFade = 0.975f, kLastingFade = 0.9995f;
// How much of the chance is what was used just now. Source: the same search.
constexpr float kRecentShare = 0.25f;
// Tokens that the model's habits count in a session's, and an even spread in the model's.
constexpr float kLastingTokens = 3, kEvenTokens = 1;

}  // namespace

ExpertPolicy::ExpertPolicy(const ExpertPolicyShape& shape) {
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
  // The square root: between no regard for the wait, and chance a time, which trusts too much in
  // estimates. Source: the search above.
  const auto n_layers = static_cast<float>(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    nearness_.push_back(1 / std::sqrt(static_cast<float>(i + 1) / n_layers));
  }
}

size_t ExpertPolicy::bytes(const ExpertPolicyShape& shape) noexcept {
  size_t n_experts = 0, n_slots = 0;
  for (const ExpertLayerShape& layer : shape.layers)
    n_experts += static_cast<size_t>(layer.n_experts);
  for (const int32_t n : shape.pool_slots) n_slots += static_cast<size_t>(n);
  return n_experts * (sizeof(Expert) + sizeof(int32_t)) + n_slots * sizeof(Slot) +
         shape.layers.size() * (sizeof(Layer) + sizeof(float)) +
         shape.pool_slots.size() * sizeof(Pool);
}

void ExpertPolicy::observe(const LayerRoutes& routes) noexcept {
  if (routes.experts.empty()) return;
  assert(routes.n_active > 0 && routes.n_sequences > 0);
  Layer& layer = layers_[static_cast<size_t>(routes.layer)];
  layer_now_ = routes.layer;
  layer.n_active = static_cast<float>(routes.n_active);
  count(layer, routes);
  estimate(layer);
}

// Lets n_tokens pass.
void ExpertPolicy::fade(Layer& layer, int32_t n_tokens) noexcept {
  const auto n = static_cast<float>(n_tokens);
  const float recent = std::pow(kRecentFade, n), steady = std::pow(kSteadyFade, n),
              lasting = std::pow(kLastingFade, n);
  for (int32_t e = 0; e < layer.n_experts; ++e) {
    Expert& expert = experts_[layer.first + static_cast<size_t>(e)];
    expert.recent *= recent;
    expert.steady *= steady;
    expert.lasting *= lasting;
    expert.is_wanted = false;
  }
  // Sums of geometric series: a token counts 1 when it comes.
  layer.steady_tokens = layer.steady_tokens * steady + (1 - steady) / (1 - kSteadyFade);
  layer.lasting_tokens = layer.lasting_tokens * lasting + (1 - lasting) / (1 - kLastingFade);
}

void ExpertPolicy::count(Layer& layer, const LayerRoutes& routes) noexcept {
  const auto n_active = static_cast<size_t>(routes.n_active);
  const auto n_sequences = static_cast<size_t>(routes.n_sequences);
  const size_t n_rows = routes.experts.size() / n_active;
  fade(layer, static_cast<int32_t>((n_rows + n_sequences - 1) / n_sequences));
  float recent = 1, steady = 1, lasting = 1;
  for (size_t age = 0; age < n_rows; ++age) {
    if (age > 0 && age % n_sequences == 0) {
      recent *= kRecentFade;
      steady *= kSteadyFade;
      lasting *= kLastingFade;
    }
    for (const int32_t e : routes.experts.subspan((n_rows - 1 - age) * n_active, n_active)) {
      Expert& expert = experts_[layer.first + static_cast<size_t>(e)];
      expert.recent += recent;
      expert.steady += steady;
      expert.lasting += lasting;
      expert.is_wanted = true;
    }
  }
}

void ExpertPolicy::estimate(Layer& layer) noexcept {
  const float even = kEvenTokens * layer.n_active / static_cast<float>(layer.n_experts);
  const float lasting_scale = kLastingTokens / (layer.lasting_tokens + kEvenTokens);
  const float scale = (1 - kRecentShare) / (layer.steady_tokens + kLastingTokens);
  constexpr float kRecentScale = kRecentShare * (1 - kRecentFade);
  for (int32_t e = 0; e < layer.n_experts; ++e) {
    Expert& expert = experts_[layer.first + static_cast<size_t>(e)];
    const float lasting = (expert.lasting + even) * lasting_scale;
    expert.chance = expert.recent * kRecentScale + (expert.steady + lasting) * scale;
  }
  layer.knows_worst = false;
}

int32_t ExpertPolicy::find(int layer, int32_t expert) const noexcept {
  return at(layer, expert).slot;
}

float ExpertPolicy::chance(int layer, int32_t expert) const noexcept {
  return at(layer, expert).chance;
}

int32_t ExpertPolicy::first_slot(int32_t pool) const noexcept {
  return pools_[static_cast<size_t>(pool)].first_slot;
}

// Experts that are wanted go after all others; among equals the lowest index goes.
int32_t ExpertPolicy::find_worst(Layer& layer) noexcept {
  if (layer.knows_worst) return layer.worst;
  layer.knows_worst = true;
  layer.worst = -1;
  const Expert* worst = nullptr;
  for (int32_t i = 0; i < layer.n_residents; ++i) {
    const int32_t e = residents_[layer.first + static_cast<size_t>(i)];
    const Expert& expert = experts_[layer.first + static_cast<size_t>(e)];
    if (slots_[static_cast<size_t>(expert.slot)].n_pins > 0) continue;
    const bool is_worse =
        worst == nullptr || (expert.is_wanted != worst->is_wanted ? worst->is_wanted
                             : expert.chance != worst->chance     ? expert.chance < worst->chance
                                                                  : e < layer.worst);
    if (!is_worse) continue;
    worst = &expert;
    layer.worst = e;
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
    Layer& layer = layers_[static_cast<size_t>(i)];
    if (layer.pool != pool || layer.n_residents == 0) continue;
    const int32_t e = find_worst(layer);
    if (e < 0) continue;
    const Expert& expert = at(i, e);
    const float worth_here = worth(i, expert.chance);
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
  Expert& expert = at(layer, e);
  assert(expert.slot < 0);
  const int32_t pool = layers_[static_cast<size_t>(layer)].pool;
  int32_t slot = free_slot(pools_[static_cast<size_t>(pool)]);
  if (slot < 0) {
    const Victim victim = find_victim(pool);
    if (victim.layer < 0 || victim.is_wanted || victim.worth >= worth(layer, chance)) return {};
    slot = evict(victim);
  }
  settle(layer, e, slot);
  expert.chance = std::max(expert.chance, chance);
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

float ExpertPolicy::export_use(std::span<float> use) const noexcept {
  assert(use.size() == experts_.size());
  float n_tokens = 0;
  for (const Layer& layer : layers_) {
    const float scale = layer.lasting_tokens > 0 ? 1 / layer.lasting_tokens : 0;
    for (size_t i = layer.first; i < layer.first + static_cast<size_t>(layer.n_experts); ++i) {
      use[i] = experts_[i].lasting * scale;
    }
    n_tokens = std::max(n_tokens, layer.lasting_tokens);
  }
  return n_tokens;
}

void ExpertPolicy::import_use(std::span<const float> use, float n_tokens) noexcept {
  assert(use.size() == experts_.size());
  for (Layer& layer : layers_) {
    if (layer.n_experts == 0) continue;
    layer.lasting_tokens += n_tokens;
    for (size_t i = layer.first; i < layer.first + static_cast<size_t>(layer.n_experts); ++i) {
      experts_[i].lasting += use[i] * n_tokens;
    }
    estimate(layer);
  }
}

}  // namespace larder::runtime
