// What one more token does to a generation: in a session's loop, and in an engine's passes.
#pragma once

#include <optional>

#include "runtime/session/generation.h"
#include "runtime/session/text_stream.h"

namespace larder::runtime {

// Appends the token, shows its text, and says whether that is the end; nullopt: it goes on, as far
// as the context goes. REQUIRES: `stream` shows into generation.text, and has these options.
std::optional<StopReason> take(const Sampled& chosen, const formats::Tokenizer& tokenizer,
                               const GenerationOptions& options, TextStream& stream,
                               Generation& generation);

}  // namespace larder::runtime
