// The only error type that crosses rooms: a cause that programs can test, a sentence for people.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace larder {

// Why something failed. Each value has one sentence in cause_name().
enum class Cause : uint8_t {
  ok,
  io,         // the operating system refused: open, read, write, map
  truncated,  // the file or text ends before what it announces
  magic,      // not a file of the expected kind
  version,    // a version or byte order that is not supported
  limit,      // larger than a stated limit
  key,        // metadata key malformed
  duplicate_key,
  value_type,  // metadata value has another type than its key asks for
  boolean,     // a bool that is neither 0 nor 1
  utf8,        // text that must be UTF-8 and is not
  array,       // metadata array malformed
  alignment,
  n_dims,
  dim,
  overflow,     // a size that does not fit 64 bits
  tensor_type,  // unknown or removed tensor type
  block,        // a row is no whole number of blocks
  offset,       // tensor data not where it may be
  overlap,      // two tensors share bytes
  name,         // tensor name malformed
  duplicate_tensor,
  split,            // shards of a split file do not fit together
  architecture,     // unknown architecture
  hyper_parameter,  // a metadata value outside what the architecture allows
  shape,            // a tensor's shape is not what the metadata imply
  missing,          // a required key or tensor is absent
  vocabulary,       // tokenizer tables inconsistent
  merges,           // merge rules malformed
  template_syntax,  // the chat template cannot be parsed
  template_limit,   // the chat template exceeded depth, steps, memory or output
  template_error,   // the chat template failed or refused by raise_exception
  numeric,          // a non-finite number where a finite one is needed
  out_of_memory,
  budget,        // does not fit the memory budget
  context_full,  // the sequence has reached the context size
  cancelled,
  changed,          // a file changed under us, or state of another model
  unsupported,      // understood, but not implemented for this combination
  invalid_argument  // the caller's mistake
};

// A fixed short name, e.g. "duplicate_key".
std::string_view cause_name(Cause cause) noexcept;

inline constexpr uint64_t kNoOffset = ~uint64_t{0};

// What failed: `subject` is the key, tensor, token or template place ("key general.alignment",
// "tensor blk.0.attn_q.weight"), `offset` the byte in the file or text where it was noticed.
struct ErrorDetail {
  Cause cause = Cause::ok;
  std::string message;  // what is wrong and, where known, what to do; one line, no trailing period
  std::string file;
  std::string subject;
  uint64_t offset = kNoOffset;
};

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;  // ok
  // Where there is no memory to tell the error, it becomes out_of_memory(); nothing is thrown. A
  // message or subject that is put together may throw before; one that is written out may not.
  Status(Cause cause, std::string message, std::string subject = {},
         uint64_t offset = kNoOffset) noexcept;
  Status(Cause cause, const char* message) noexcept;
  // The error that can always be told: it allocates nothing.
  static Status out_of_memory() noexcept;

  bool ok() const noexcept { return detail_ == nullptr; }
  Cause cause() const noexcept { return ok() ? Cause::ok : detail_->cause; }
  // REQUIRES: !ok()
  const ErrorDetail& detail() const noexcept {
    assert(!ok());
    return *detail_;
  }
  // "model.gguf: tensor blk.3.ffn_down_exps: expected ..., file has ... (byte 1234)"; "ok" if ok.
  std::string to_string() const;

  // A copy that names the file, unless one is named already.
  Status with_file(std::string_view file) const noexcept;

 private:
  std::shared_ptr<const ErrorDetail> detail_;  // null means ok
};

// Either a value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // REQUIRES: !status.ok()
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {
    assert(!std::get<1>(state_).ok());
  }

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  Status status() const { return ok() ? Status() : std::get<1>(state_); }

  // REQUIRES: ok()
  T& value() & noexcept {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& noexcept {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && noexcept {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace larder
