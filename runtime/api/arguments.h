// What comes in as pointers and lengths, and goes out as memory of the caller's.
#pragma once

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

inline Outcome check(TextArgument text) noexcept {
  return text.is_valid() ? Outcome() : invalid("a null pointer with a length");
}
inline Outcome check(IdsArgument ids) noexcept {
  return ids.is_valid() ? Outcome() : invalid("a null pointer with a length, or too many tokens");
}
// A path is no text with a NUL inside, nor empty.
inline Outcome check_path(TextArgument path) noexcept {
  if (Outcome o = check(path); !o.ok()) return o;
  if (path.n_bytes == 0) return invalid("an empty path");
  if (path.view().find('\0') != std::string_view::npos) return invalid("a path with a NUL inside");
  return {};
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
