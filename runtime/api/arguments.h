// What comes in as pointers and lengths, and goes out as memory of the caller's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "runtime/api/outcome.h"

namespace larder::runtime {

// A call that appends more would not fit any context.
inline constexpr size_t kMostIds = INT32_MAX;

struct TextArgument {
  const char* data;
  size_t n_bytes;
  bool is_valid() const noexcept { return data != nullptr || n_bytes == 0; }
  std::string_view view() const noexcept { return {data == nullptr ? "" : data, n_bytes}; }
};

struct IdsArgument {
  const int32_t* data;
  size_t n;
  bool is_valid() const noexcept { return (data != nullptr || n == 0) && n <= kMostIds; }
  std::span<const int32_t> view() const noexcept { return {data, n}; }
};

inline Outcome null_with_length() noexcept { return invalid("a null pointer with a length"); }
inline Outcome check(TextArgument text) noexcept {
  return text.is_valid() ? Outcome() : null_with_length();
}
inline Outcome check(IdsArgument ids) noexcept {
  return ids.is_valid() ? Outcome() : invalid("a null pointer with a length, or too many tokens");
}
inline Outcome check_sizes(IdsArgument context, IdsArgument continuation) noexcept {
  return context.n > 0 && continuation.n > 0
             ? Outcome()
             : invalid("context and continuation have at least one token each");
}
// A path is no text with a NUL inside, nor empty.
inline Outcome check_path(TextArgument path) noexcept {
  if (Outcome o = check(path); !o.ok()) return o;
  if (path.n_bytes == 0) return invalid("an empty path");
  if (path.view().find('\0') != std::string_view::npos) return invalid("a path with a NUL inside");
  return {};
}

// Empties what a call gives.
template <class... T>
Outcome cleared(T*... out) noexcept {
  if (((out == nullptr) || ...)) return invalid("a null pointer for a result");
  ((*out = T{}), ...);
  return {};
}
inline Outcome cleared_values(int64_t* values, size_t n_values) noexcept {
  if (values == nullptr) return invalid("a null pointer for a result");
  std::fill_n(values, n_values, 0);
  return {};
}
// The same of a text, which is never null.
inline Outcome cleared_text(const char** text, size_t* n_bytes) noexcept {
  const Outcome outcome = cleared(text, n_bytes);
  if (outcome.ok()) *text = "";
  return outcome;
}
inline void lend(const std::string& held, const char** text, size_t* n_bytes) noexcept {
  *text = held.c_str();
  *n_bytes = held.size();
}

// Copies with a NUL behind the last. Error: LARDER_OUT_OF_MEMORY.
template <class T>
Outcome hand_out(std::span<const T> values, T** out, size_t* n) noexcept {
  auto* const memory = static_cast<T*>(std::malloc((values.size() + 1) * sizeof(T)));
  if (memory == nullptr) return Status::out_of_memory();
  if (!values.empty()) std::memcpy(memory, values.data(), values.size_bytes());
  memory[values.size()] = T{};
  *out = memory;
  *n = values.size();
  return {};
}
inline Outcome hand_out(const std::string& text, char** out, size_t* n) noexcept {
  return hand_out(std::span<const char>(text), out, n);
}

}  // namespace larder::runtime
