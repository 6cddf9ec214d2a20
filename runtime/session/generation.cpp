#include "runtime/session/generation.h"

#include <cassert>
#include <chrono>
#include <new>

#include "runtime/session/generation_step.h"

namespace larder::runtime {
namespace {

// Samples and appends until there is a reason to end.
Result<StopReason> run(Session& session, Sampler& sampler, const GenerationOptions& options,
                       TextStream& stream, Generation& generation) {
  const formats::Tokenizer& tokenizer = *session.model().tokenizer();
  if (options.max_tokens == 0) return StopReason::length;
  for (;;) {
    const Result<Sampled> sampled = sampler.sample(session.logits(), session.tokens());
    if (!sampled) return sampled.status();
    if (const auto end = take(*sampled, tokenizer, options, stream, generation)) return *end;
    const Status appended = session.append(std::span(&sampled->token, 1));
    if (appended.cause() == Cause::context_full) return StopReason::context_full;
    if (appended.cause() == Cause::cancelled) return StopReason::cancelled;
    if (!appended.ok()) return appended;
  }
}

}  // namespace

std::string_view stop_reason_name(StopReason reason) noexcept {
  switch (reason) {
    case StopReason::end_of_generation:
      return "end_of_generation";
    case StopReason::stop_string:
      return "stop_string";
    case StopReason::length:
      return "length";
    case StopReason::context_full:
      return "context_full";
    case StopReason::cancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<Generation> generate(Session& session, Sampler& sampler, const GenerationOptions& options,
                            const OnText& on_text) try {
  assert(!session.logits().empty());
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  Generation generation;
  TextStream stream(session.model().tokenizer(), options, on_text, generation.text);
  const Result<StopReason> reason = run(session, sampler, options, stream, generation);
  if (!reason) return reason.status();
  generation.reason = *reason;
  if (!stream.has_stopped() && stream.finish() == Flow::cancel) {
    generation.reason = StopReason::cancelled;
  }
  generation.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return generation;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime
