// How a call of the C library ends: nothing that is thrown passes, and what went wrong becomes a
// status and an error that belongs to the caller.
#pragma once

#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "formats/status.h"
#include "runtime/api/larder.h"

namespace larder::runtime {

// A Status, or what only this boundary knows of.
class Outcome {
 public:
  Outcome() noexcept = default;  // well
  Outcome(Status status) noexcept;
  // A failure that callers know by another name than its cause's. REQUIRES: !detail.ok().
  Outcome(larder_status status, Status detail) noexcept
      : status_(status), detail_(std::move(detail)) {}
  // REQUIRES: status != LARDER_OK; message is a literal.
  Outcome(larder_status status, const char* message) noexcept
      : status_(status), message_(message) {}

  bool ok() const noexcept { return status_ == LARDER_OK; }
  larder_status status() const noexcept { return status_; }
  // Answers status(), and puts an error for it where the caller wants one.
  larder_status report(larder_error** error) const noexcept;

 private:
  larder_status status_ = LARDER_OK;
  const char* message_ = nullptr;  // unless detail_ has one
  Status detail_;
};

inline Outcome invalid(const char* message) noexcept { return {LARDER_INVALID_ARGUMENT, message}; }

inline Outcome first_failure(Outcome last) noexcept { return last; }
template <class... More>
Outcome first_failure(Outcome first, More&&... more) noexcept {
  if (!first.ok()) return first;
  return first_failure(std::forward<More>(more)...);
}

// Runs body() where the arguments are well. REQUIRES: it answers an Outcome or what becomes one.
template <class Body>
larder_status guarded(larder_error** error, const Outcome& arguments, Body&& body) noexcept {
  if (error != nullptr) *error = nullptr;
  if (!arguments.ok()) return arguments.report(error);
  try {
    const Outcome outcome = std::forward<Body>(body)();
    return outcome.report(error);
  } catch (const std::bad_alloc&) {
    return Outcome(Status::out_of_memory()).report(error);
  } catch (const std::length_error&) {
    return Outcome(Status::out_of_memory()).report(error);
  } catch (...) {
    return Outcome(LARDER_INTERNAL, "an exception that nobody expected").report(error);
  }
}

}  // namespace larder::runtime
