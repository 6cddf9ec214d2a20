// Errors, versions, and memory that callers give back.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "runtime/api/larder.h"
#include "runtime/api/outcome.h"

struct larder_error {
  larder_status status;
  const char* cause;
  const char* message;
  bool is_owned;  // message and this itself
};

namespace larder::runtime {
namespace {

// The error that can always be told.
constinit const larder_error kOutOfMemory{LARDER_OUT_OF_MEMORY, "out_of_memory", "out of memory",
                                          false};

larder_status status_of(Cause cause) noexcept {
  switch (cause) {
    case Cause::ok:
      return LARDER_OK;
    case Cause::io:
      return LARDER_IO;
    case Cause::version:
    case Cause::tensor_type:
    case Cause::architecture:
    case Cause::unsupported:
      return LARDER_UNSUPPORTED;
    case Cause::template_syntax:
    case Cause::template_limit:
    case Cause::template_error:
      return LARDER_TEMPLATE;
    case Cause::numeric:
      return LARDER_NUMERIC;
    case Cause::out_of_memory:
      return LARDER_OUT_OF_MEMORY;
    case Cause::budget:
      return LARDER_OVER_BUDGET;
    case Cause::context_full:
      return LARDER_CONTEXT_FULL;
    case Cause::cancelled:
      return LARDER_CANCELLED;
    case Cause::changed:
      return LARDER_MISMATCH;
    case Cause::invalid_argument:
      return LARDER_INVALID_ARGUMENT;
    default:
      return LARDER_CORRUPT;  // what is wrong inside of a file
  }
}

const char* cause_of(larder_status status) noexcept {
  switch (status) {
    case LARDER_INVALID_ARGUMENT:
      return "invalid_argument";
    case LARDER_CLOSED:
      return "closed";
    case LARDER_BUSY:
      return "busy";
    case LARDER_TEMPLATE:
      return "template";
    case LARDER_NO_ROOM:
      return "no_room";
    default:
      return "internal";
  }
}

larder_error* make_error(larder_status status, const char* cause, std::string_view message) {
  auto text = std::make_unique<char[]>(message.size() + 1);
  std::memcpy(text.get(), message.data(), message.size());
  auto* const error = new larder_error{status, cause, text.get(), true};
  (void)text.release();
  return error;
}

}  // namespace

Outcome::Outcome(Status status) noexcept
    : status_(status_of(status.cause())), detail_(std::move(status)) {}

larder_status Outcome::report(larder_error** error) const noexcept {
  if (ok() || error == nullptr) return status_;
  try {
    *error = detail_.ok()
                 ? make_error(status_, cause_of(status_), message_)
                 : make_error(status_, cause_name(detail_.cause()).data(), detail_.to_string());
  } catch (...) {
    // The status is the failure's all the same.
    *error = const_cast<larder_error*>(&kOutOfMemory);
  }
  return status_;
}

}  // namespace larder::runtime

const char* larder_version(void) { return LARDER_VERSION; }

int32_t larder_abi_version(void) { return 1; }

void larder_free(void* memory) { std::free(memory); }

const char* larder_status_message(larder_status status) {
  switch (status) {
    case LARDER_OK:
      return "ok";
    case LARDER_INVALID_ARGUMENT:
      return "an argument is null, out of range, or comes in the wrong order";
    case LARDER_CLOSED:
      return "the object is closed, or of another kind";
    case LARDER_BUSY:
      return "another call uses the object";
    case LARDER_CANCELLED:
      return "cancelled";
    case LARDER_OUT_OF_MEMORY:
      return "out of memory";
    case LARDER_OVER_BUDGET:
      return "does not fit the memory budget";
    case LARDER_IO:
      return "the operating system refused to read or write";
    case LARDER_CORRUPT:
      return "the file is damaged, or of another kind";
    case LARDER_UNSUPPORTED:
      return "not supported";
    case LARDER_TEMPLATE:
      return "the chat template is absent, malformed, or refuses the messages";
    case LARDER_CONTEXT_FULL:
      return "the context is full";
    case LARDER_NUMERIC:
      return "a number is not finite";
    case LARDER_MISMATCH:
      return "of another model, or changed meanwhile";
    case LARDER_NO_ROOM:
      return "the batch holds as much as it can";
    case LARDER_INTERNAL:
      return "a defect of the library";
    default:
      return "unknown status";
  }
}

larder_status larder_error_status(const larder_error* error) {
  return error == nullptr ? LARDER_OK : error->status;
}

const char* larder_error_message(const larder_error* error) {
  return error == nullptr ? "ok" : error->message;
}

const char* larder_error_cause(const larder_error* error) {
  return error == nullptr ? "ok" : error->cause;
}

void larder_error_free(larder_error* error) {
  if (error == nullptr || !error->is_owned) return;
  delete[] error->message;
  delete error;
}
