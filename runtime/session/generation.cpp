#include "runtime/session/generation.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <new>
#include <optional>
#include <utility>

#include "runtime/session/text_stream.h"

namespace larder::runtime {
namespace {

using formats::TokenId;

// One round of the loop after a token was chosen; nullopt: go on.
std::optional<StopReason> end_after(Flow flow, bool has_stopped, size_t n_tokens,
                                    const GenerationOptions& options) {
  if (flow == Flow::cancel) return StopReason::cancelled;
  if (has_stopped || flow == Flow::stop) return StopReason::stop_string;
  if (options.max_tokens >= 0 && n_tokens >= static_cast<size_t>(options.max_tokens)) {
    return StopReason::length;
  }
  return std::nullopt;
}

// Samples and appends until there is a reason to end.
Result<StopReason> run(Session& session, Sampler& sampler, const GenerationOptions& options,
                       TextStream& stream, Generation& generation) {
  const formats::Tokenizer& tokenizer = *session.model().tokenizer();
  if (options.max_tokens == 0) return StopReason::length;
  for (;;) {
    const Result<Sampled> sampled = sampler.sample(session.logits(), session.tokens());
    if (!sampled) return sampled.status();
    generation.tokens.push_back(sampled->token);
    generation.logprobs.push_back(sampled->logprob);
    if (!options.ignore_end && tokenizer.is_end_of_generation(sampled->token)) {
      return StopReason::end_of_generation;
    }
    const Flow flow = stream.push(sampled->token);
    if (const auto reason =
            end_after(flow, stream.has_stopped(), generation.tokens.size(), options)) {
      return *reason;
    }
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
