#include "runtime/experts/expert_forecast.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace larder::runtime {
namespace {

// What a use still counts a token later: in what was used just now, in a session's habits (half of
// it after 23 tokens) and in the model's (after 1400). Source: search over replays of recorded
// traces of Qwen3-30B-A3B and Gemma-4-26B-A4B at 0.5 to 7 token cycles; flat around these values.
constexpr float kRecentFade = 0.2f, kSteadyFade = 0.97f, kLastingFade = 0.9995f;
// How much of the chance is what was used just now. Source: the same search.
constexpr float kRecentShare = 0.25f;
// Tokens that the model's habits count in a session's, and an even spread in the model's.
constexpr float kLastingTokens = 1, kEvenTokens = 1;

// Another subject, another session: the forecast for the last two tokens or so is so much worse
// than for the last twenty. Habits then count so little, and new ones are learned at once. Recorded
// sessions never come near; the change is seen within two tokens in drawn ones.
constexpr float kSurprise = 0.6f, kHabitsKept = 0.1f;
constexpr float kLatelyShare = 0.5f, kUsuallyShare = 0.05f;

}  // namespace

ExpertForecast::ExpertForecast(std::span<const int32_t> n_experts) {
  size_t n = 0;
  for (const int32_t of_layer : n_experts) {
    Layer layer;
    layer.first = n;
    layer.n_experts = static_cast<size_t>(of_layer);
    layers_.push_back(layer);
    n += layer.n_experts;
  }
  uses_.resize(n);
  chances_.resize(n);
}

size_t ExpertForecast::bytes(size_t n_layers, size_t n_experts) noexcept {
  return n_layers * sizeof(Layer) + n_experts * (sizeof(Uses) + sizeof(float));
}

void ExpertForecast::observe(const LayerRoutes& routes) noexcept {
  if (routes.experts.empty()) return;
  assert(routes.n_active > 0 && routes.n_sequences > 0);
  judge(routes);
  Layer& layer = layers_[static_cast<size_t>(routes.layer)];
  layer.n_active = static_cast<float>(routes.n_active);
  count(layer, routes);
  estimate(layer);
}

void ExpertForecast::judge(const LayerRoutes& routes) noexcept {
  if (routes.layer <= layer_now_ && n_foretold_ > 0) {  // a step has ended
    const float mean = foretold_ / n_foretold_;
    foretold_ = n_foretold_ = 0;
    lately_ = usually_ == 0 ? mean : lately_ + (mean - lately_) * kLatelyShare;
    usually_ = usually_ == 0 ? mean : usually_ + (mean - usually_) * kUsuallyShare;
    if (lately_ < usually_ * kSurprise) forget_habits();
  }
  layer_now_ = routes.layer;
  for (const int32_t e : routes.experts) foretold_ += chance(routes.layer, e);
  n_foretold_ += static_cast<float>(routes.experts.size());
}

// The rates stay what they are; they only yield faster.
void ExpertForecast::forget_habits() noexcept {
  for (Uses& uses : uses_) uses.steady *= kHabitsKept;
  for (Layer& layer : layers_) layer.steady_tokens *= kHabitsKept;
  usually_ = lately_;
}

// Lets n_tokens pass.
void ExpertForecast::fade(Layer& layer, int32_t n_tokens) noexcept {
  const auto n = static_cast<float>(n_tokens);
  const Uses kept = {std::pow(kRecentFade, n), std::pow(kSteadyFade, n), std::pow(kLastingFade, n)};
  for (Uses& uses : uses_of(layer)) {
    uses.recent *= kept.recent;
    uses.steady *= kept.steady;
    uses.lasting *= kept.lasting;
  }
  // Sums of geometric series: a token counts 1 when it comes.
  layer.steady_tokens = layer.steady_tokens * kept.steady + (1 - kept.steady) / (1 - kSteadyFade);
  layer.lasting_tokens =
      layer.lasting_tokens * kept.lasting + (1 - kept.lasting) / (1 - kLastingFade);
}

void ExpertForecast::count(Layer& layer, const LayerRoutes& routes) noexcept {
  const auto n_active = static_cast<size_t>(routes.n_active);
  const auto n_sequences = static_cast<size_t>(routes.n_sequences);
  const size_t n_rows = routes.experts.size() / n_active;
  fade(layer, static_cast<int32_t>((n_rows + n_sequences - 1) / n_sequences));
  Uses one = {1, 1, 1};
  for (size_t age = 0; age < n_rows; ++age) {
    if (age > 0 && age % n_sequences == 0) {
      one.recent *= kRecentFade;
      one.steady *= kSteadyFade;
      one.lasting *= kLastingFade;
    }
    for (const int32_t e : routes.experts.subspan((n_rows - 1 - age) * n_active, n_active)) {
      Uses& uses = uses_[layer.first + static_cast<size_t>(e)];
      uses.recent += one.recent;
      uses.steady += one.steady;
      uses.lasting += one.lasting;
    }
  }
}

void ExpertForecast::estimate(const Layer& layer) noexcept {
  const float even = kEvenTokens * layer.n_active / static_cast<float>(layer.n_experts);
  const float lasting_scale = kLastingTokens / (layer.lasting_tokens + kEvenTokens);
  const float steady_scale = (1 - kRecentShare) / (layer.steady_tokens + kLastingTokens);
  constexpr float kRecentScale = kRecentShare * (1 - kRecentFade);
  float* chance = chances_.data() + layer.first;
  for (const Uses& uses : uses_of(layer)) {
    const float lasting = (uses.lasting + even) * lasting_scale;
    *chance++ = uses.recent * kRecentScale + (uses.steady + lasting) * steady_scale;
  }
}

float ExpertForecast::export_use(std::span<float> use) const noexcept {
  assert(use.size() == uses_.size());
  float n_tokens = 0;
  for (const Layer& layer : layers_) {
    const float scale = layer.lasting_tokens > 0 ? 1 / layer.lasting_tokens : 0;
    for (size_t i = layer.first; i < layer.first + layer.n_experts; ++i) {
      use[i] = uses_[i].lasting * scale;
    }
    n_tokens = std::max(n_tokens, layer.lasting_tokens);
  }
  return n_tokens;
}

void ExpertForecast::import_use(std::span<const float> use, float n_tokens) noexcept {
  assert(use.size() == uses_.size());
  for (Layer& layer : layers_) {
    if (layer.n_experts == 0) continue;
    layer.lasting_tokens += n_tokens;
    for (size_t i = layer.first; i < layer.first + layer.n_experts; ++i) {
      uses_[i].lasting += use[i] * n_tokens;
    }
    estimate(layer);
  }
}

}  // namespace larder::runtime
