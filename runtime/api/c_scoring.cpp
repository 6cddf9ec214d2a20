// Probabilities of tokens.
#include <algorithm>
#include <cmath>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"

namespace larder::runtime {
namespace {

// As log_probability() of each: the largest is taken away, and the sum has one order.
void write_logprobs(std::span<const float> logits, float* logprobs) {
  double largest = -INFINITY, sum = 0;
  for (const float logit : logits)
    if (std::isfinite(logit)) largest = std::max<double>(largest, logit);
  for (const float logit : logits)
    if (std::isfinite(logit)) sum += std::exp(static_cast<double>(logit) - largest);
  const double log_sum = std::log(sum);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double logit = logits[i];
    logprobs[i] = std::isfinite(logit) ? static_cast<float>(logit - largest - log_sum) : -INFINITY;
  }
}

// Of one token after another, each given those before it.
struct Scoring {
  std::span<const int32_t> tokens;
  double* logprobs;
  bool is_greedy = true;
  size_t n_done = 0;

  void add(std::span<const float> logits) {
    const int32_t token = tokens[n_done];
    logprobs[n_done++] = log_probability(logits, token);
    const auto best = std::max_element(logits.begin(), logits.end());
    is_greedy = is_greedy && best - logits.begin() == token;
  }
};

Outcome score(const OpenSession& open, std::span<const int32_t> context, Scoring& scoring) {
  Session& session = *open.session;
  const auto room = static_cast<size_t>(session.n_ctx());
  // The last token is predicted, and not appended.
  if (context.size() + scoring.tokens.size() - 1 > room)
    return Status(Cause::context_full, "context and continuation do not fit the context");
  const int32_t n_vocab = session.model().config().n_vocab;
  for (const int32_t token : scoring.tokens)
    if (token < 0 || token >= n_vocab) return invalid("no token of the vocabulary");
  if (Status s = session.continue_as(context, open.options.progress.of_tokens()); !s.ok()) return s;
  scoring.add(session.logits());
  const auto appended = scoring.tokens.first(scoring.tokens.size() - 1);
  if (appended.empty()) return {};
  return session.append_all_logits(
      appended, [&](int32_t, std::span<const float> logits) { scoring.add(logits); });
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_session_logprobs(const larder_session* session, float* logprobs,
                                      size_t n_vocab, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (logprobs == nullptr) return invalid("logprobs is null");
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    const std::span<const float> logits = lease->session->logits();
    if (logits.empty()) return invalid("the session has no logits; append a token first");
    if (n_vocab != logits.size()) return invalid("n_vocab is not the model's");
    write_logprobs(logits, logprobs);
    return {};
  });
}

larder_status larder_session_score(larder_session* session, const int32_t* context,
                                   size_t n_context, const int32_t* continuation,
                                   size_t n_continuation, double* logprobs, int32_t* is_greedy,
                                   larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (is_greedy != nullptr) *is_greedy = 0;
    const IdsArgument before{context, n_context}, scored{continuation, n_continuation};
    if (Outcome o = check(before); !o.ok()) return o;
    if (Outcome o = check(scored); !o.ok()) return o;
    if (n_context == 0 || n_continuation == 0)
      return invalid("context and continuation have at least one token each");
    if (logprobs == nullptr) return invalid("logprobs is null");
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    Scoring scoring{scored.view(), logprobs};
    if (Outcome o = score(*lease, before.view(), scoring); !o.ok()) return o;
    if (is_greedy != nullptr) *is_greedy = scoring.is_greedy ? 1 : 0;
    return {};
  });
}
