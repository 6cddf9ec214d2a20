#include "runtime/session/generation_step.h"

#include <utility>

namespace larder::runtime {

std::optional<StopReason> take(const Sampled& chosen, const formats::Tokenizer& tokenizer,
                               const GenerationOptions& options, TextStream& stream,
                               Generation& generation) {
  generation.tokens.push_back(chosen.token);
  generation.logprobs.push_back(chosen.logprob);
  if (!options.ignore_end && tokenizer.is_end_of_generation(chosen.token))
    return StopReason::end_of_generation;
  const Flow flow = stream.push(chosen.token);
  if (flow == Flow::cancel) return StopReason::cancelled;
  if (stream.has_stopped() || flow == Flow::stop) return StopReason::stop_string;
  if (options.max_tokens >= 0 &&
      std::cmp_greater_equal(generation.tokens.size(), options.max_tokens))
    return StopReason::length;
  return std::nullopt;
}

}  // namespace larder::runtime
