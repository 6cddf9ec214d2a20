// How the program ends, and the one line it says when it fails.
#pragma once

#include <string_view>

#include "formats/status.h"

namespace larder::apps {

enum ExitCode : int {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,
  kBadModel = 3,    // missing, unsupported or corrupt
  kOverBudget = 4,  // does not fit the memory budget
  kSomeFailed = 5,  // a batch finished, with some items failed
  kInterrupted = 130,
  kTerminated = 143
};

// What a failure while working, and a failure while opening a model, end with.
ExitCode exit_code(const Status& status) noexcept;
ExitCode model_exit_code(const Status& status) noexcept;

// Says "larder: <message>" on stderr, in one line: names of files and tensors may be anything.
void complain(std::string_view message);
// Complains and gives the code. A cancellation is said by nobody: the person knows.
ExitCode fail(const Status& status);
ExitCode fail_model(const Status& status);
// 0, or as fail().
inline ExitCode fail_unless_ok(const Status& status) { return status.ok() ? kOk : fail(status); }

}  // namespace larder::apps
