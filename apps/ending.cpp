#include "apps/ending.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "apps/signals.h"
#include "apps/terminal.h"

namespace larder::apps {

using formats::DataValue;
using runtime::StopReason;

std::string_view finish_reason(StopReason reason, bool has_calls) noexcept {
  switch (reason) {
    case StopReason::end_of_generation:
    case StopReason::stop_string:
      return has_calls ? "tool_calls" : "stop";
    case StopReason::length:
    case StopReason::context_full:
      return "length";
    case StopReason::cancelled:
      return "cancelled";
  }
  return "stop";
}

void add_origin(DataValue& object, std::string_view model, uint64_t seed) {
  object.dict.emplace_back("model", model);
  object.dict.emplace_back("seed", static_cast<int64_t>(seed));
}

void add_ending(DataValue& object, const std::vector<formats::TokenId>& tokens, StopReason reason,
                const Timings& timings, bool has_calls) {
  DataValue ids = DataValue::make_list();
  for (const formats::TokenId token : tokens) ids.list.emplace_back(int64_t{token});
  object.dict.emplace_back("tokens", std::move(ids));
  object.dict.emplace_back("finish_reason", finish_reason(reason, has_calls));
  object.dict.emplace_back("stop_reason", stop_reason_name(reason));
  object.dict.emplace_back("timings", timings.to_data());
}

void tell_ending(StopReason reason, const Timings& timings, int32_t n_ctx,
                 const OutputOptions& output) {
  if (output.is_quiet) return;
  const Terminal screen(STDERR_FILENO, output.color);
  if (reason == StopReason::context_full) {
    complain("the context of " + std::to_string(n_ctx) +
             " tokens is full; choose a larger --ctx-size");
  }
  std::fprintf(stderr, "%s%s%s\n", screen.dim().data(), timings.to_line().c_str(),
               screen.reset().data());
}

ExitCode exit_code(StopReason reason) noexcept {
  if (reason != StopReason::cancelled) return kOk;
  if (is_terminated()) return kTerminated;
  return is_interrupted() ? kInterrupted : kOk;
}

}  // namespace larder::apps
