// Sessions: appending, going back, logits, statistics.
#include <algorithm>
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

void fill_in(const Session& session, int64_t* values, size_t n) {
  const auto put = [&](int32_t which, uint64_t value) {
    if (static_cast<size_t>(which) < n)
      values[which] = static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX));
  };
  put(LARDER_STATISTIC_N_TOKENS, session.tokens().size());
  put(LARDER_STATISTIC_CONTEXT_SIZE, static_cast<uint64_t>(session.n_ctx()));
  put(LARDER_STATISTIC_THREADS, static_cast<uint64_t>(session.options().n_threads));
  put(LARDER_STATISTIC_BYTES, session.bytes());
  put(LARDER_STATISTIC_RAM_BYTES, session.ram().total_bytes());
  const auto experts = session.expert_statistics();
  put(LARDER_STATISTIC_IS_PAGED, experts ? 1 : 0);
  if (!experts) return;
  put(LARDER_STATISTIC_EXPERT_HITS, experts->counters.n_hits);
  put(LARDER_STATISTIC_EXPERT_MISSES, experts->counters.n_misses);
  put(LARDER_STATISTIC_EXPERT_READS, experts->counters.n_reads);
  put(LARDER_STATISTIC_BYTES_READ, experts->counters.bytes_read);
  put(LARDER_STATISTIC_WAIT_US, experts->counters.wait_us);
}

Outcome append(const OpenSession& open, std::span<const int32_t> ids) {
  return open.session->append(ids, open.options.progress.of_tokens());
}

constexpr const char* kNoLogits = "the session has no logits; append a token first";

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_session_open(const larder_model* model, const larder_options* options,
                                  larder_session** session, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (session == nullptr) return invalid("session is null");
    *session = nullptr;
    const OptionsArgument with(options);
    if (Outcome o = check(model); !o.ok()) return o;
    if (Outcome o = with.check(); !o.ok()) return o;
    const LoadProgress loading = with->progress.of_bytes();
    if (loading && !loading(0, 1)) return Status(Cause::cancelled, "the session is not opened");
    auto created = Session::create((*model)->model, with->session(), loading);
    if (!created) return created.status();
    tell(**created, with->log);
    *session = new larder_session(std::in_place, OpenSession{std::move(*created), *with});
    return {};
  });
}

larder_status larder_session_close(larder_session* session) {
  return guarded(nullptr, [&]() -> Outcome {
    if (session == nullptr) return {};
    if (Outcome o = check(session); !o.ok()) return o;
    if (!session->enter()) return {LARDER_BUSY, "a call uses the session"};
    session->close(session);
    return {};
  });
}

void larder_session_cancel(larder_session* session) {
  if (check(session).ok()) (*session)->session->cancel();
}

void larder_session_forget_cancel(larder_session* session) {
  if (check(session).ok()) (*session)->session->forget_cancel();
}

larder_status larder_session_prefill(larder_session* session, const int32_t* ids, size_t n_ids,
                                     larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    const IdsArgument argument{ids, n_ids};
    if (Outcome o = check(argument); !o.ok()) return o;
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    return append(*lease, argument.view());
  });
}

larder_status larder_session_step(larder_session* session, int32_t token, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    return lease->session->append(std::span(&token, 1));
  });
}

larder_status larder_session_continue_as(larder_session* session, const int32_t* ids, size_t n_ids,
                                         size_t* n_reused, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (n_reused != nullptr) *n_reused = 0;
    const IdsArgument argument{ids, n_ids};
    if (Outcome o = check(argument); !o.ok()) return o;
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    const auto n = static_cast<size_t>(lease->session->n_reusable(argument.view()));
    const Status status =
        lease->session->continue_as(argument.view(), lease->options.progress.of_tokens());
    if (status.ok() && n_reused != nullptr) *n_reused = n;
    return status;
  });
}

larder_status larder_session_encode(larder_session* session, const int32_t* ids, size_t n_ids,
                                    larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    const IdsArgument argument{ids, n_ids};
    if (Outcome o = check(argument); !o.ok()) return o;
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    return lease->session->encode(argument.view());
  });
}

larder_status larder_session_rewind(larder_session* session, size_t n_tokens, size_t* n_left,
                                    larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (n_left != nullptr) *n_left = 0;
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    if (n_tokens > lease->session->tokens().size())
      return invalid("the session does not hold so many tokens");
    const int32_t n = lease->session->truncate(static_cast<int32_t>(n_tokens));
    if (n_left != nullptr) *n_left = static_cast<size_t>(n);
    return {};
  });
}

larder_status larder_session_tokens(const larder_session* session, const int32_t** ids,
                                    size_t* n_ids, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (ids == nullptr || n_ids == nullptr) return invalid("ids or n_ids is null");
    *ids = nullptr;
    *n_ids = 0;
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    *ids = lease->session->tokens().data();
    *n_ids = lease->session->tokens().size();
    return {};
  });
}

larder_status larder_session_logits(const larder_session* session, const float** logits,
                                    size_t* n_vocab, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (logits == nullptr || n_vocab == nullptr) return invalid("logits or n_vocab is null");
    *logits = nullptr;
    *n_vocab = 0;
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    const std::span<const float> held = lease->session->logits();
    if (held.empty()) return invalid(kNoLogits);
    *logits = held.data();
    *n_vocab = held.size();
    return {};
  });
}

larder_status larder_session_statistics(const larder_session* session, int64_t* values,
                                        size_t n_values, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (values == nullptr) return invalid("values is null");
    std::fill_n(values, n_values, 0);
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    fill_in(*lease->session, values, n_values);
    return {};
  });
}
