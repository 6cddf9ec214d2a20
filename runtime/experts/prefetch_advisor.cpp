#include "runtime/experts/prefetch_advisor.h"

#include <algorithm>
#include <cassert>

namespace larder::runtime {
namespace {

// Half of what is known of a rank comes from the last 23 predictions, or 350; of what was read in
// vain, from the last 35 steps.
constexpr float kLatelyFade = 0.97f, kUsuallyFade = 0.998f, kStepFade = 0.98f;
// Halted for reading too much in vain, it goes on when that has fallen to this share of the limit.
constexpr float kRecovered = 0.5f;

}  // namespace

PrefetchAdvisor::PrefetchAdvisor(int32_t max_ranks, const PrefetchRules& rules)
    : rules_(rules), ranks_(static_cast<size_t>(max_ranks)) {}

void PrefetchAdvisor::Record::add(bool is_used, float fade) noexcept {
  named = named * fade + 1;
  used = used * fade + (is_used ? 1 : 0);
}

void PrefetchAdvisor::limit_growth() noexcept {
  const float limit = rules_.max_growth * read_;
  is_halted_ = in_vain_ > (is_halted_ ? limit * kRecovered : limit);
}

bool PrefetchAdvisor::begin_step() noexcept {
  read_ *= kStepFade;
  in_vain_ *= kStepFade;
  limit_growth();
  is_on_ =
      std::any_of(ranks_.begin(), ranks_.end(), [this](const Rank& rank) { return pays(rank); });
  // The first steps are for getting to know the predictions.
  const bool is_probe = n_steps_ < rules_.probe_interval || n_steps_ % rules_.probe_interval == 0;
  ++n_steps_;
  return is_probe || (is_on_ && !is_halted_);
}

size_t PrefetchAdvisor::advise(const ExpertPrediction& prediction,
                               std::span<int32_t> ranks) noexcept {
  assert(prediction.experts.size() == prediction.is_missing.size());
  assert(prediction.experts.size() <= ranks_.size());
  open_layer_ = prediction.layer;
  n_open_ = static_cast<int32_t>(prediction.experts.size());
  limit_growth();
  size_t n = 0;
  for (size_t i = 0; i < prediction.experts.size(); ++i) {
    Rank& rank = ranks_[i];
    if (rank.is_started) in_vain_ += 1;  // its layer never came
    rank.is_started = false;
    rank.expert = prediction.is_missing[i] ? prediction.experts[i] : -1;
    if (rank.expert < 0 || is_halted_ || n == ranks.size() || !pays(rank)) continue;
    ranks[n++] = static_cast<int32_t>(i);
  }
  return n;
}

void PrefetchAdvisor::started(int32_t rank) noexcept {
  assert(rank < n_open_);
  ranks_[static_cast<size_t>(rank)].is_started = true;
  read_ += 1;
}

void PrefetchAdvisor::took_back(int32_t expert) noexcept {
  for (int32_t i = 0; i < n_open_; ++i) {
    Rank& rank = ranks_[static_cast<size_t>(i)];
    if (rank.expert != expert || !rank.is_started) continue;
    rank.is_started = false;
    read_ -= 1;
  }
}

void PrefetchAdvisor::observe(int layer, std::span<const int32_t> experts,
                              int32_t n_missing) noexcept {
  read_ += static_cast<float>(n_missing);
  if (layer != open_layer_) return;
  open_layer_ = -1;
  for (int32_t i = 0; i < n_open_; ++i) {
    Rank& rank = ranks_[static_cast<size_t>(i)];
    if (rank.expert < 0) continue;
    const bool is_used = std::find(experts.begin(), experts.end(), rank.expert) != experts.end();
    rank.lately.add(is_used, kLatelyFade);
    rank.usually.add(is_used, kUsuallyFade);
    if (rank.is_started && !is_used) in_vain_ += 1;
    rank.is_started = false;
    rank.expert = -1;
  }
  n_open_ = 0;
}

}  // namespace larder::runtime
