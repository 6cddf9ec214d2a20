// Metadata of a GGUF file: typed views into its header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "formats/status.h"

namespace larder::formats {

// The value types of the container, with their ids in the file.
enum class GgufType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};

inline constexpr uint32_t kGgufTypeCount = 13;

std::string_view gguf_type_name(GgufType type) noexcept;  // "u32", "string"
uint32_t gguf_type_bytes(GgufType type) noexcept;         // 0 for strings and arrays
bool is_integer(GgufType type) noexcept;

// One array value: a view into the header. Elements are decoded on access.
class GgufArray {
 public:
  GgufType element_type() const noexcept { return type_; }
  uint64_t size() const noexcept { return count_; }
  std::span<const std::byte> raw() const noexcept { return raw_; }  // the elements, back to back

  // Converting copies. Any integer type converts to integers that can hold each value; f32 and f64
  // convert to each other; an empty array converts to anything. Error: `value_type` naming the
  // first element that does not fit, or `out_of_memory`.
  Result<std::vector<int64_t>> to_integers() const;
  Result<std::vector<float>> to_floats() const;
  Result<std::vector<bool>> to_bools() const;
  Result<std::vector<std::string_view>> to_strings() const;  // views live as long as the file
  Result<std::vector<GgufArray>> to_arrays() const;          // likewise

 private:
  friend class GgufValue;
  static GgufArray whole(std::span<const std::byte> bytes) noexcept;  // validated, with its prefix
  GgufType type_ = GgufType::u8;
  uint64_t count_ = 0;
  std::span<const std::byte> raw_;
};

// One metadata entry.
class GgufValue {
 public:
  GgufType type() const noexcept { return type_; }
  uint64_t offset() const noexcept { return offset_; }  // of the value in its file
  // The value's bytes as in the file, after its type: a string with its length, an array with its
  // element type and count.
  std::span<const std::byte> raw() const noexcept { return raw_; }

  // Lenient in width, strict in kind: any integer type is an integer, f32 and f64 are floats.
  Result<int64_t> to_integer() const;  // error `value_type`; u64 above INT64_MAX is `limit`
  Result<double> to_float() const;
  Result<bool> to_bool() const;
  Result<std::string_view> to_string() const;
  Result<GgufArray> to_array() const;

 private:
  friend class GgufMetadata;
  GgufType type_ = GgufType::u8;
  uint64_t offset_ = 0;
  std::span<const std::byte> raw_;  // invariant: validated, a whole value of type_
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

}  // namespace larder::formats
