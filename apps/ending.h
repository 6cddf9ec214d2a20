// How an answer ended: for programs, for people, and for the shell.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "apps/exit_code.h"
#include "apps/options.h"
#include "apps/timings.h"
#include "formats/template/value.h"
#include "runtime/session/generation.h"

namespace larder::apps {

// OpenAI's words: "stop" or "length"; with calls "tool_calls"; "cancelled" where a signal ended it.
std::string_view finish_reason(runtime::StopReason reason, bool has_calls = false) noexcept;

// What the JSON of every answer tells of where it comes from: the model's file and the seed.
void add_origin(formats::DataValue& object, std::string_view model, uint64_t seed);

// What the JSON of every answer ends with: tokens, finish_reason, stop_reason, timings.
void add_ending(formats::DataValue& object, const std::vector<formats::TokenId>& tokens,
                runtime::StopReason reason, const Timings& timings, bool has_calls = false);

// On stderr: the speeds, and what to do about a full context. Nothing where it shall be quiet.
void tell_ending(runtime::StopReason reason, const Timings& timings, int32_t n_ctx,
                 const OutputOptions& output);

// 130 or 143 where a signal ended the answer; else 0, also where the reader left.
ExitCode exit_code(runtime::StopReason reason) noexcept;

}  // namespace larder::apps
