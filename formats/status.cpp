#include "formats/status.h"

#include <array>
#include <new>

namespace larder {

std::string_view cause_name(Cause cause) noexcept {
  static constexpr std::array<std::string_view, 40> kNames = {"ok",
                                                              "io",
                                                              "truncated",
                                                              "magic",
                                                              "version",
                                                              "limit",
                                                              "key",
                                                              "duplicate_key",
                                                              "value_type",
                                                              "boolean",
                                                              "utf8",
                                                              "array",
                                                              "alignment",
                                                              "n_dims",
                                                              "dim",
                                                              "overflow",
                                                              "tensor_type",
                                                              "block",
                                                              "offset",
                                                              "overlap",
                                                              "name",
                                                              "duplicate_tensor",
                                                              "split",
                                                              "architecture",
                                                              "hyper_parameter",
                                                              "shape",
                                                              "missing",
                                                              "vocabulary",
                                                              "merges",
                                                              "template_syntax",
                                                              "template_limit",
                                                              "template_error",
                                                              "numeric",
                                                              "out_of_memory",
                                                              "budget",
                                                              "context_full",
                                                              "cancelled",
                                                              "changed",
                                                              "unsupported",
                                                              "invalid_argument"};
  static_assert(kNames.size() == static_cast<size_t>(Cause::invalid_argument) + 1);
  const auto index = static_cast<size_t>(cause);
  return index < kNames.size() ? kNames[index] : "unknown";
}

namespace {

// Short enough to stand inside the string itself.
const ErrorDetail kOutOfMemory{Cause::out_of_memory, "out of memory", {}, {}, kNoOffset};

// Owned by nobody, hence without a control block.
std::shared_ptr<const ErrorDetail> unowned(const ErrorDetail& detail) noexcept {
  return {std::shared_ptr<const ErrorDetail>(), &detail};
}

}  // namespace

Status::Status(Cause cause, std::string message, std::string subject, uint64_t offset) noexcept {
  assert(cause != Cause::ok);
  try {
    detail_ = std::make_shared<ErrorDetail>(
        ErrorDetail{cause, std::move(message), {}, std::move(subject), offset});
  } catch (...) {
    detail_ = unowned(kOutOfMemory);
  }
}

Status::Status(Cause cause, const char* message) noexcept {
  assert(cause != Cause::ok);
  try {
    detail_ = std::make_shared<ErrorDetail>(ErrorDetail{cause, message, {}, {}, kNoOffset});
  } catch (...) {
    detail_ = unowned(kOutOfMemory);
  }
}

Status Status::out_of_memory() noexcept {
  Status status;
  status.detail_ = unowned(kOutOfMemory);
  return status;
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  std::string text;
  if (!detail_->file.empty()) text += detail_->file + ": ";
  if (!detail_->subject.empty()) text += detail_->subject + ": ";
  text += detail_->message;
  if (detail_->offset != kNoOffset) text += " (byte " + std::to_string(detail_->offset) + ")";
  return text;
}

Status Status::with_file(std::string_view file) const noexcept {
  if (ok() || !detail_->file.empty()) return *this;
  try {
    Status named = *this;
    auto detail = std::make_shared<ErrorDetail>(*detail_);
    detail->file = file;
    named.detail_ = std::move(detail);
    return named;
  } catch (...) {
    return *this;
  }
}

}  // namespace larder
