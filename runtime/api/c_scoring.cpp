// Probabilities of tokens.
#include <algorithm>
#include <span>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"
#include "runtime/session/softmax.h"

namespace larder::runtime {
namespace {

// Of one token after another, each given those before it.
struct Scoring {
  std::span<const int32_t> tokens;
  double* logprobs;
  bool is_greedy = true;
  size_t n_done = 0;

  void add(std::span<const float> logits) {
    const int32_t token = tokens[n_done];
    const LogitsSummary summary = summarize(logits);
    logprobs[n_done++] = logits[static_cast<size_t>(token)] - summary.log_sum_exp;
    is_greedy = is_greedy && summary.argmax == token;
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
  const Outcome arguments = logprobs == nullptr ? invalid("logprobs is null") : Outcome();
  return leased(error, arguments, session, [&](const OpenSession& open) -> Outcome {
    const std::span<const float> logits = open.session->logits();
    if (logits.empty()) return no_logits();
    if (n_vocab != logits.size()) return invalid("n_vocab is not the model's");
    const double log_sum_exp = summarize(logits).log_sum_exp;
    std::transform(logits.begin(), logits.end(), logprobs,
                   [log_sum_exp](float logit) { return static_cast<float>(logit - log_sum_exp); });
    return {};
  });
}

larder_status larder_session_score(larder_session* session, const int32_t* context,
                                   size_t n_context, const int32_t* continuation,
                                   size_t n_continuation, double* logprobs, int32_t* is_greedy,
                                   larder_error** error) {
  if (is_greedy != nullptr) *is_greedy = 0;
  const IdsArgument before{context, n_context}, scored{continuation, n_continuation};
  const Outcome out = logprobs == nullptr ? invalid("logprobs is null") : Outcome();
  const Outcome arguments =
      first_failure(check(before), check(scored), check_sizes(before, scored), out);
  return leased(error, arguments, session, [&](OpenSession& open) -> Outcome {
    Scoring scoring{scored.view(), logprobs};
    if (Outcome o = score(open, before.view(), scoring); !o.ok()) return o;
    if (is_greedy != nullptr) *is_greedy = scoring.is_greedy ? 1 : 0;
    return {};
  });
}
