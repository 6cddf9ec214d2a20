#include "runtime/session/sampler.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "runtime/session/softmax.h"

namespace larder::runtime {
namespace {

using formats::TokenId;

constexpr float kAbsent = -std::numeric_limits<float>::infinity();

struct Candidate {
  float logit = kAbsent;
  TokenId token = formats::kNoToken;
  double p = 0;         // filled by the steps that need it
  double surprise = 0;  // distance of -log(p) from the entropy; filled by typical
};

// Best first; ties go to the lower id.
bool is_better(const Candidate& a, const Candidate& b) noexcept {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

bool is_more_typical(const Candidate& a, const Candidate& b) noexcept {
  return a.surprise != b.surprise ? a.surprise < b.surprise : a.token < b.token;
}

float largest_finite(std::span<const float> logits) noexcept {
  float largest = kAbsent;
  for (const float logit : logits) {
    if (std::isfinite(logit) && logit > largest) largest = logit;
  }
  return largest;
}

}  // namespace

double log_probability(std::span<const float> logits, TokenId token) noexcept {
  assert(token >= 0 && static_cast<size_t>(token) < logits.size());
  const float logit = logits[static_cast<size_t>(token)];
  if (!std::isfinite(logit)) return kAbsent;
  return logit - log_sum_exp(logits, largest_finite(logits));
}

// Invariant: every step keeps at least one candidate.
struct Sampler::Impl {
  Impl(const SamplerOptions& sampler_options, int32_t n_vocab)
      : options(sampler_options), random(sampler_options.seed) {
    const auto n = static_cast<size_t>(n_vocab);
    logits.resize(n);
    counts.resize(n);
    candidates.reserve(n);
  }

  Result<TokenId> choose(std::span<const float> given, std::span<const TokenId> history);
  void penalize(std::span<const TokenId> history) noexcept;
  TokenId greedy() const noexcept;
  void collect() noexcept;
  void keep_top_k() noexcept;
  void keep_typical() noexcept;
  void keep_top_p() noexcept;
  void keep_min_p() noexcept;
  TokenId draw() noexcept;

  float largest_logit() const noexcept;
  void fill_probabilities() noexcept;
  // Keeps the fewest candidates, first ones in `order` first, for which is_enough(their mass).
  template <class Order, class Enough>
  void keep_mass(Order order, Enough is_enough) noexcept;

  SamplerOptions options;
  RandomStream random;
  std::vector<float> logits;    // the model's, with the penalties
  std::vector<int32_t> counts;  // occurrences in the penalty window; all 0 between calls
  std::vector<Candidate> candidates;
};

void Sampler::Impl::penalize(std::span<const TokenId> history) noexcept {
  const bool is_off = options.repeat_penalty == 1 && options.presence_penalty == 0 &&
                      options.frequency_penalty == 0;
  if (is_off || options.repeat_last_n == 0) return;
  if (options.repeat_last_n > 0 && history.size() > static_cast<size_t>(options.repeat_last_n)) {
    history = history.last(static_cast<size_t>(options.repeat_last_n));
  }
  for (const TokenId token : history) ++counts[static_cast<size_t>(token)];
  for (const TokenId token : history) {
    int32_t& count = counts[static_cast<size_t>(token)];
    if (count == 0) continue;  // done at an earlier occurrence
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / options.repeat_penalty : logit * options.repeat_penalty;
    logit -= static_cast<float>(count) * options.frequency_penalty + options.presence_penalty;
    count = 0;
  }
}

TokenId Sampler::Impl::greedy() const noexcept {
  TokenId best = formats::kNoToken;
  float largest = kAbsent;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i]) && logits[i] > largest) {
      largest = logits[i];
      best = static_cast<TokenId>(i);
    }
  }
  return best;
}

void Sampler::Impl::collect() noexcept {
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) {
      candidates.push_back({logits[i], static_cast<TokenId>(i)});
    }
  }
}

float Sampler::Impl::largest_logit() const noexcept {
  float largest = kAbsent;
  for (const Candidate& candidate : candidates) largest = std::max(largest, candidate.logit);
  return largest;
}

// Softmax over the candidates, summed in the order in which they stand.
void Sampler::Impl::fill_probabilities() noexcept {
  const double largest = largest_logit();
  double sum = 0;
  for (Candidate& candidate : candidates) {
    candidate.p = std::exp(candidate.logit - largest);
    sum += candidate.p;
  }
  for (Candidate& candidate : candidates) candidate.p /= sum;
}

// Cost: sorts no more than about twice what is kept; the doubling starts where the sets of
// ordinary options end.
template <class Order, class Enough>
void Sampler::Impl::keep_mass(Order order, Enough is_enough) noexcept {
  const auto at = [this](size_t i) { return candidates.begin() + static_cast<ptrdiff_t>(i); };
  double mass = 0;
  size_t n = 0;
  for (size_t n_sorted = 0; n < candidates.size();) {
    if (n == n_sorted) {
      n_sorted = std::min(std::max<size_t>(64, 2 * n), candidates.size());
      std::partial_sort(at(n), at(n_sorted), candidates.end(), order);
    }
    mass += candidates[n++].p;
    if (is_enough(mass)) break;
  }
  candidates.erase(at(n), candidates.end());
}

void Sampler::Impl::keep_top_k() noexcept {
  const auto k = options.top_k;
  if (k == 0 || static_cast<size_t>(k) >= candidates.size()) return;
  std::partial_sort(candidates.begin(), candidates.begin() + k, candidates.end(), is_better);
  candidates.erase(candidates.begin() + k, candidates.end());
}

// Locally typical sampling: the tokens whose surprise is nearest to the entropy, up to mass p.
// Source: Meister et al., "Locally Typical Sampling", 2022.
void Sampler::Impl::keep_typical() noexcept {
  if (options.typical_p >= 1) return;
  fill_probabilities();
  double entropy = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.p > 0) entropy -= candidate.p * std::log(candidate.p);
  }
  for (Candidate& candidate : candidates) {
    candidate.surprise = std::fabs(-std::log(candidate.p) - entropy);
  }
  keep_mass(is_more_typical, [this](double mass) { return mass > options.typical_p; });
}

// The smallest set of best tokens whose mass reaches p.
void Sampler::Impl::keep_top_p() noexcept {
  if (options.top_p >= 1) return;
  fill_probabilities();
  keep_mass(is_better, [this](double mass) { return mass >= options.top_p; });
}

// Tokens at least p times as likely as the best.
void Sampler::Impl::keep_min_p() noexcept {
  if (options.min_p <= 0) return;
  const double least = largest_logit() + std::log(static_cast<double>(options.min_p));
  const auto first_lost =
      std::remove_if(candidates.begin(), candidates.end(),
                     [least](const Candidate& candidate) { return candidate.logit < least; });
  candidates.erase(first_lost, candidates.end());
}

TokenId Sampler::Impl::draw() noexcept {
  const double largest = largest_logit();
  double sum = 0;
  for (Candidate& candidate : candidates) {
    candidate.p = std::exp((candidate.logit - largest) / options.temperature);
    sum += candidate.p;
  }
  double left = random.uniform() * sum;
  for (const Candidate& candidate : candidates) {
    left -= candidate.p;
    if (left < 0) return candidate.token;
  }
  // Rounding used up the sum: the last token that has any probability.
  for (size_t i = candidates.size(); i-- > 1;) {
    if (candidates[i].p > 0) return candidates[i].token;
  }
  return candidates.front().token;
}

Sampler::Sampler(const SamplerOptions& options, int32_t n_vocab)
    : impl_(std::make_unique<Impl>(options, n_vocab)) {
  assert(check(options).ok() && n_vocab > 0);
}

Sampler::~Sampler() = default;

const SamplerOptions& Sampler::options() const noexcept { return impl_->options; }

void Sampler::reseed(uint64_t seed) noexcept {
  impl_->options.seed = seed;
  impl_->random = RandomStream(seed);
}

void Sampler::continue_as(const SamplerOptions& options, const RandomStream& random) noexcept {
  assert(check(options).ok());
  impl_->options = options;
  impl_->random = random;
}

const RandomStream& Sampler::random() const noexcept { return impl_->random; }

size_t Sampler::bytes_for(int32_t n_vocab) noexcept {
  return static_cast<size_t>(n_vocab) * (sizeof(float) + sizeof(int32_t) + sizeof(Candidate));
}

Result<TokenId> Sampler::Impl::choose(std::span<const float> given,
                                      std::span<const TokenId> history) {
  assert(given.size() == logits.size());
  std::copy(given.begin(), given.end(), logits.begin());
  penalize(history);
  const TokenId best = greedy();
  if (best == formats::kNoToken)
    return Status(Cause::numeric, "no logit is finite, so that no token can be chosen", "logits");
  if (options.temperature <= 0) return best;
  collect();
  keep_top_k();
  keep_typical();
  keep_top_p();
  keep_min_p();
  return draw();
}

Result<Sampled> Sampler::sample(std::span<const float> logits, std::span<const TokenId> history) {
  const Result<TokenId> token = impl_->choose(logits, history);
  if (!token) return token.status();
  return Sampled{*token, static_cast<float>(log_probability(logits, *token))};
}

Result<Sampled> Sampler::sample(std::span<const float> logits, std::span<const TokenId> history,
                                double log_sum_exp) {
  const Result<TokenId> token = impl_->choose(logits, history);
  if (!token) return token.status();
  return Sampled{*token, static_cast<float>(logits[static_cast<size_t>(*token)] - log_sum_exp)};
}

}  // namespace larder::runtime
