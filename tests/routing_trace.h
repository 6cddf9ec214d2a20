// Which experts every token chose in every layer: recorded, or drawn by a recipe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace larder::tests {

using LayerChoices = std::vector<int32_t>;       // experts, best first
using TokenChoices = std::vector<LayerChoices>;  // by layer; empty: the layer was not computed
using ExpertScores = std::vector<std::vector<double>>;  // [layer][expert]

struct RoutingTrace {
  std::string name;
  int n_layers = 0, n_experts = 0, n_active = 0;
  std::vector<int64_t> expert_bytes;  // by layer
  std::vector<TokenChoices> prompt, tokens;
  std::vector<TokenChoices>
      next_best;  // for each of tokens: n_active that just missed being chosen

  int cycle() const noexcept { return n_layers * n_active; }
  int n_all() const noexcept { return n_layers * n_experts; }
};

// Of the shared data; nullopt where they are not on this machine.
std::optional<RoutingTrace> recorded_trace(const std::string& name);

// Every expert's score of a token is a habit of the session, a mood that fades from token to token,
// and chance; the highest n_active are chosen. Source: calibrated on recorded traces, 2026-08.
struct TraceRecipe {
  std::string name;
  int n_layers = 48, n_experts = 128, n_active = 8;
  double habit = 2, mood = 1, mood_fade = 0.5;
  int n_prompt = 32, n_tokens = 256;
  int tokens_a_session = 1 << 30;  // then all habits are drawn anew
  uint64_t seed = 1;
};
RoutingTrace drawn_trace(const TraceRecipe& recipe);

TraceRecipe qwen_like();     // a recorded Qwen3-30B-A3B, about
TraceRecipe near_uniform();  // hardly any habits: what prediction and caches cannot help
TraceRecipe restless();      // another session every 64 tokens

}  // namespace larder::tests
