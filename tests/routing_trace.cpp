#include "tests/routing_trace.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>
#include <utility>

namespace larder::tests {
namespace {

// Normally distributed values that are the same with every standard library.
class Normals {
 public:
  explicit Normals(uint64_t seed) : state_(seed) {}

  double next() {
    // Box and Muller's transform
    const double u = uniform(), v = uniform();
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  double uniform() {  // in (0, 1]; splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (static_cast<double>((z ^ (z >> 31)) >> 11) + 1) / 9007199254740992.0;
  }
  uint64_t state_;
};

LayerChoices best(const std::vector<double>& scores, int n) {
  LayerChoices order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(n));
  return order;
}

class Router {
 public:
  explicit Router(const TraceRecipe& recipe)
      : recipe_(recipe),
        normals_(recipe.seed),
        habits_(static_cast<size_t>(recipe.n_layers),
                std::vector<double>(static_cast<size_t>(recipe.n_experts))),
        moods_(habits_) {
    change_habits();
  }

  void change_habits() {
    for (size_t layer = 0; layer < habits_.size(); ++layer) {
      // The first layers know little of the session yet.
      const double ramp = std::min(1.0, 0.35 + 0.65 * static_cast<double>(layer) / 6);
      for (double& habit : habits_[layer]) habit = normals_.next() * recipe_.habit * ramp;
    }
  }

  // The best 2 * n_active of each layer.
  TokenChoices next() {
    TokenChoices token;
    std::vector<double> scores(static_cast<size_t>(recipe_.n_experts));
    const double fresh = recipe_.mood * std::sqrt(1 - recipe_.mood_fade * recipe_.mood_fade);
    for (size_t layer = 0; layer < habits_.size(); ++layer) {
      for (size_t e = 0; e < scores.size(); ++e) {
        double& mood = moods_[layer][e];
        mood = mood * recipe_.mood_fade + fresh * normals_.next();
        scores[e] = habits_[layer][e] + mood + normals_.next();
      }
      token.push_back(best(scores, 2 * recipe_.n_active));
    }
    return token;
  }

 private:
  const TraceRecipe& recipe_;
  Normals normals_;
  ExpertScores habits_, moods_;
};

}  // namespace

std::optional<RoutingTrace> recorded_trace(const std::string& name) {
  std::ifstream file(std::string(LARDER_SHARED_DIR "/traces/") + name + ".route.csv");
  if (!file) return std::nullopt;
  RoutingTrace trace;
  trace.name = name;
  std::map<std::pair<int, int>, TokenChoices> tokens;  // by phase and step
  for (std::string line; std::getline(file, line);) {
    int phase = 0, step = 0, layer = 0, expert = 0;
    long long bytes = 0;
    if (std::sscanf(line.c_str(), "# layer=%d expert_bytes=%lld", &layer, &bytes) == 2) {
      trace.expert_bytes.push_back(bytes);
    } else if (line.rfind("# model=", 0) == 0) {
      std::sscanf(line.c_str() + line.find("n_layer="), "n_layer=%d n_expert=%d n_expert_used=%d",
                  &trace.n_layers, &trace.n_experts, &trace.n_active);
    } else if (std::sscanf(line.c_str(), "%*d,%d,%d,%d,%*d,%d", &phase, &step, &layer, &expert) ==
               4) {
      TokenChoices& token = tokens[{phase, step}];
      token.resize(static_cast<size_t>(trace.n_layers));
      token[static_cast<size_t>(layer)].push_back(expert);
    }
  }
  for (auto& [key, token] : tokens) {
    (key.first == 0 ? trace.prompt : trace.tokens).push_back(std::move(token));
  }
  return trace;
}

RoutingTrace drawn_trace(const TraceRecipe& recipe) {
  RoutingTrace trace;
  trace.name = recipe.name;
  trace.n_layers = recipe.n_layers;
  trace.n_experts = recipe.n_experts;
  trace.n_active = recipe.n_active;
  trace.expert_bytes.assign(static_cast<size_t>(recipe.n_layers), 1 << 20);
  Router router(recipe);
  const auto chosen = [&](TokenChoices token) {
    for (LayerChoices& layer : token) layer.resize(static_cast<size_t>(recipe.n_active));
    return token;
  };
  for (int i = 0; i < recipe.n_prompt; ++i) trace.prompt.push_back(chosen(router.next()));
  for (int i = 0; i < recipe.n_tokens; ++i) {
    if (i > 0 && i % recipe.tokens_a_session == 0) router.change_habits();
    TokenChoices token = router.next();
    trace.tokens.push_back(chosen(token));
    for (LayerChoices& layer : token) layer.erase(layer.begin(), layer.begin() + recipe.n_active);
    trace.next_best.push_back(std::move(token));
  }
  return trace;
}

TraceRecipe qwen_like() {
  TraceRecipe recipe;
  recipe.name = "drawn: qwen-like";
  return recipe;
}

TraceRecipe near_uniform() {
  TraceRecipe recipe;
  recipe.name = "drawn: near-uniform";
  recipe.habit = 0.4;
  recipe.mood = 0.3;
  recipe.seed = 2;
  return recipe;
}

TraceRecipe restless() {
  TraceRecipe recipe;
  recipe.name = "drawn: another session every 64 tokens";
  recipe.tokens_a_session = 64;
  recipe.seed = 3;
  return recipe;
}

}  // namespace larder::tests
