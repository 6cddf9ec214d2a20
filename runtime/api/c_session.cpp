// Sessions: appending, going back, logits, statistics.
#include <span>
#include <string>
#include <utility>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"

namespace larder::runtime {
namespace {

// What the caller may want to know of a session that has opened.
void tell(const Session& session, const LogCallback& log) {
  if (log.call == nullptr) return;
  log(LARDER_LOG_INFO, std::string(session.isa()) + ", " +
                           std::to_string(session.options().n_threads) + " threads, " +
                           std::to_string(session.n_ctx()) + " tokens of context, " +
                           std::to_string(session.bytes() >> 20) + " MiB of cache and buffers");
  const int32_t trained = session.model().config().context_length;
  if (trained > 0 && session.n_ctx() > trained)
    log(LARDER_LOG_WARNING,
        "the model was trained for " + std::to_string(trained) + " tokens of context");
  if (const auto statistics = session.expert_statistics();
      statistics && !statistics->facts.note.empty())
    log(LARDER_LOG_WARNING, statistics->facts.note);
  if (!session.profile_note().empty())
    log(LARDER_LOG_WARNING, "counts of earlier use are not used: " + session.profile_note());
}

void fill_in(const Session& session, std::span<int64_t> values) {
  put(values, LARDER_STATISTIC_N_TOKENS, session.tokens().size());
  put(values, LARDER_STATISTIC_CONTEXT_SIZE, static_cast<uint64_t>(session.n_ctx()));
  put(values, LARDER_STATISTIC_THREADS, static_cast<uint64_t>(session.options().n_threads));
  put(values, LARDER_STATISTIC_BYTES, session.bytes());
  put(values, LARDER_STATISTIC_RAM_BYTES, session.ram().total_bytes());
  const auto experts = session.expert_statistics();
  put(values, LARDER_STATISTIC_IS_PAGED, experts ? 1 : 0);
  if (!experts) return;
  put(values, LARDER_STATISTIC_EXPERT_HITS, experts->counters.n_hits);
  put(values, LARDER_STATISTIC_EXPERT_MISSES, experts->counters.n_misses);
  put(values, LARDER_STATISTIC_EXPERT_READS, experts->counters.n_reads);
  put(values, LARDER_STATISTIC_BYTES_READ, experts->counters.bytes_read);
  put(values, LARDER_STATISTIC_WAIT_US, experts->counters.wait_us);
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_session_open(const larder_model* model, const larder_options* options,
                                  larder_session** session, larder_error** error) {
  const OptionsArgument with(options);
  const Outcome arguments = first_failure(cleared(session), check(model), with.check());
  return guarded(error, arguments, [&]() -> Outcome {
    const LoadProgress loading = with->progress.of_bytes();
    if (loading && !loading(0, 1)) return Status(Cause::cancelled, "the session is not opened");
    auto created = Session::create((*model)->model, with->session(), loading);
    if (!created) return created.status();
    tell(**created, with->log);
    *session = new larder_session(std::in_place, OpenSession{std::move(*created), *with});
    return {};
  });
}

larder_status larder_session_close(larder_session* session) { return close_unused(session); }

void larder_session_cancel(larder_session* session) {
  if (check(session).ok()) (*session)->session->cancel();
}

void larder_session_forget_cancel(larder_session* session) {
  if (check(session).ok()) (*session)->session->forget_cancel();
}

larder_status larder_session_prefill(larder_session* session, const int32_t* ids, size_t n_ids,
                                     larder_error** error) {
  const IdsArgument appended{ids, n_ids};
  return leased(error, check(appended), session, [&](OpenSession& open) -> Outcome {
    return open.session->append(appended.view(), open.options.progress.of_tokens());
  });
}

larder_status larder_session_step(larder_session* session, int32_t token, larder_error** error) {
  return leased(error, {}, session, [token](OpenSession& open) -> Outcome {
    return open.session->append(std::span(&token, 1));
  });
}

larder_status larder_session_continue_as(larder_session* session, const int32_t* ids, size_t n_ids,
                                         size_t* n_reused, larder_error** error) {
  if (n_reused != nullptr) *n_reused = 0;
  const IdsArgument wanted{ids, n_ids};
  return leased(error, check(wanted), session, [&](OpenSession& open) -> Outcome {
    const auto n = static_cast<size_t>(open.session->n_reusable(wanted.view()));
    const Status status =
        open.session->continue_as(wanted.view(), open.options.progress.of_tokens());
    if (status.ok() && n_reused != nullptr) *n_reused = n;
    return status;
  });
}

larder_status larder_session_encode(larder_session* session, const int32_t* ids, size_t n_ids,
                                    larder_error** error) {
  const IdsArgument source{ids, n_ids};
  return leased(error, check(source), session,
                [&](OpenSession& open) -> Outcome { return open.session->encode(source.view()); });
}

larder_status larder_session_rewind(larder_session* session, size_t n_tokens, size_t* n_left,
                                    larder_error** error) {
  if (n_left != nullptr) *n_left = 0;
  return leased(error, {}, session, [&](OpenSession& open) -> Outcome {
    if (n_tokens > open.session->tokens().size())
      return invalid("the session does not hold so many tokens");
    const int32_t n = open.session->truncate(static_cast<int32_t>(n_tokens));
    if (n_left != nullptr) *n_left = static_cast<size_t>(n);
    return {};
  });
}

larder_status larder_session_tokens(const larder_session* session, const int32_t** ids,
                                    size_t* n_ids, larder_error** error) {
  return leased(error, cleared(ids, n_ids), session, [&](const OpenSession& open) -> Outcome {
    *ids = open.session->tokens().data();
    *n_ids = open.session->tokens().size();
    return {};
  });
}

larder_status larder_session_logits(const larder_session* session, const float** logits,
                                    size_t* n_vocab, larder_error** error) {
  return leased(error, cleared(logits, n_vocab), session, [&](const OpenSession& open) -> Outcome {
    const std::span<const float> held = open.session->logits();
    if (held.empty()) return no_logits();
    *logits = held.data();
    *n_vocab = held.size();
    return {};
  });
}

larder_status larder_session_statistics(const larder_session* session, int64_t* values,
                                        size_t n_values, larder_error** error) {
  return leased(error, cleared_values(values, n_values), session,
                [&](const OpenSession& open) -> Outcome {
                  fill_in(*open.session, {values, n_values});
                  return {};
                });
}
