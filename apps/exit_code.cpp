#include "apps/exit_code.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "apps/signals.h"
#include "apps/terminal.h"

namespace larder::apps {

ExitCode exit_code(const Status& status) noexcept {
  switch (status.cause()) {
    case Cause::ok:
      return kOk;
    case Cause::budget:
    case Cause::out_of_memory:
      return kOverBudget;
    case Cause::invalid_argument:
      return kUsage;
    case Cause::cancelled:
      return is_terminated() ? kTerminated : kInterrupted;
    default:
      return kFailure;
  }
}

ExitCode model_exit_code(const Status& status) noexcept {
  switch (status.cause()) {
    case Cause::budget:
    case Cause::out_of_memory:
    case Cause::invalid_argument:
    case Cause::cancelled:
      return exit_code(status);
    default:
      return kBadModel;
  }
}

void complain(std::string_view message) {
  std::string line = for_terminal(message);
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fprintf(stderr, "larder: %s\n", line.c_str());
}

ExitCode fail(const Status& status) {
  if (status.cause() != Cause::cancelled) complain(status.to_string());
  return exit_code(status);
}

ExitCode fail_model(const Status& status) {
  if (status.cause() != Cause::cancelled) complain(status.to_string());
  return model_exit_code(status);
}

}  // namespace larder::apps
