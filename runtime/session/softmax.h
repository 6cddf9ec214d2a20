// A row of logits as a distribution, in double and in one order of summation.
#pragma once

#include <span>

#include "formats/text/tokenizer.h"

namespace larder::runtime {

struct TokenLogprob {
  formats::TokenId token = formats::kNoToken;
  double logprob = 0;  // natural
};

// A token's log probability is its logit - log_sum_exp.
struct LogitsSummary {
  formats::TokenId argmax = formats::kNoToken;  // of equal logits, the lowest id
  double log_sum_exp = 0;
};

// log(sum of exp), in ascending order; logits that are not finite count as absent. Cost: one exp a
// logit. `maximum`: the largest that is finite.
double log_sum_exp(std::span<const float> logits, float maximum) noexcept;

// Cost: one exp a logit. REQUIRES: logits are finite, and there is one.
LogitsSummary summarize(std::span<const float> logits) noexcept;

// Kullback-Leibler divergence of `other` from `base`, over all tokens, in nats; exactly 0 of the
// same logits. REQUIRES: of one size, each with its own summary.
double divergence(std::span<const float> base, const LogitsSummary& base_summary,
                  std::span<const float> other, const LogitsSummary& other_summary) noexcept;

// The best.size() most likely tokens, best first; of equal ones the lower id first. No allocation.
// REQUIRES: best.size() <= logits.size().
void choose_best(std::span<const float> logits, const LogitsSummary& summary,
                 std::span<TokenLogprob> best) noexcept;

}  // namespace larder::runtime
