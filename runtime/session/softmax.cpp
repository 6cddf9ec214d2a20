#include "runtime/session/softmax.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace larder::runtime {
namespace {

bool is_better(const TokenLogprob& a, const TokenLogprob& b) noexcept {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

}  // namespace

double log_sum_exp(std::span<const float> logits, float maximum) noexcept {
  double sum = 0;
  for (const float logit : logits) {
    if (std::isfinite(logit)) sum += std::exp(static_cast<double>(logit) - maximum);
  }
  return maximum + std::log(sum);
}

LogitsSummary summarize(std::span<const float> logits) noexcept {
  assert(!logits.empty());
  const auto largest = std::max_element(logits.begin(), logits.end());
  return {static_cast<formats::TokenId>(largest - logits.begin()), log_sum_exp(logits, *largest)};
}

double divergence(std::span<const float> base, const LogitsSummary& base_summary,
                  std::span<const float> other, const LogitsSummary& other_summary) noexcept {
  assert(base.size() == other.size());
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double logprob = static_cast<double>(base[i]) - base_summary.log_sum_exp;
    const double other_logprob = static_cast<double>(other[i]) - other_summary.log_sum_exp;
    sum += std::exp(logprob) * (logprob - other_logprob);
  }
  return sum;
}

void choose_best(std::span<const float> logits, const LogitsSummary& summary,
                 std::span<TokenLogprob> best) noexcept {
  assert(best.size() <= logits.size());
  if (best.empty()) return;
  // A heap of the best so far, the worst of them first.
  for (size_t i = 0; i < best.size(); ++i)
    best[i] = {static_cast<formats::TokenId>(i), logits[i] - summary.log_sum_exp};
  std::make_heap(best.begin(), best.end(), is_better);
  for (size_t i = best.size(); i < logits.size(); ++i) {
    const TokenLogprob next = {static_cast<formats::TokenId>(i), logits[i] - summary.log_sum_exp};
    if (!is_better(next, best.front())) continue;
    std::pop_heap(best.begin(), best.end(), is_better);
    best.back() = next;
    std::push_heap(best.begin(), best.end(), is_better);
  }
  std::sort_heap(best.begin(), best.end(), is_better);
}

}  // namespace larder::runtime
