// The decoding loop: sample, decode, watch for the end. Used by chat, generate and batch alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/status.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"

namespace larder::runtime {

struct GenerationOptions {
  int32_t max_tokens = -1;        // -1: until the context is full
  std::vector<std::string> stop;  // cut before the first of these; never shown, also in parts
  bool ignore_end = false;        // go on after end-of-generation tokens
  bool show_control = false;
  std::vector<formats::TokenId> shown_control;  // control tokens to show all the same
};

enum class StopReason : uint8_t { end_of_generation, stop_string, length, context_full, cancelled };
std::string_view stop_reason_name(StopReason reason) noexcept;

struct Generation {
  std::string text;                      // all that was shown
  std::vector<formats::TokenId> tokens;  // with the end-of-generation token, if that was the end
  std::vector<float> logprobs;           // of each token
  StopReason reason = StopReason::end_of_generation;
  double seconds = 0;
};

// What the callback wants: go on; stop (a normal end); cancel.
enum class Flow : uint8_t { go_on, stop, cancel };
using OnText = std::function<Flow(std::string_view piece)>;  // whole UTF-8 characters

// Goes on from session.logits(). The session afterwards holds every generated token but the last
// one sampled (which was not appended). A full context is an end, not an error.
// Errors: `numeric`, and what Session::append answers but context_full and cancelled.
// REQUIRES: !session.logits().empty().
Result<Generation> generate(Session& session, Sampler& sampler, const GenerationOptions& options,
                            const OnText& on_text);

}  // namespace larder::runtime
