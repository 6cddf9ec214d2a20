// Where a name stands in a table. The hash is keyed with random bits, so that a file cannot be
// made whose names all collide.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace larder::formats {

// SipHash-1-3. Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012.
class KeyedHash {
 public:
  KeyedHash() noexcept;  // a key of its own
  explicit KeyedHash(std::array<uint64_t, 2> key) noexcept : key_(key) {}
  size_t operator()(std::string_view text) const noexcept;

 private:
  std::array<uint64_t, 2> key_;
};

using NameIndex = std::unordered_map<std::string_view, uint32_t, KeyedHash>;

}  // namespace larder::formats
