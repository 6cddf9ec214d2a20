#include "formats/gguf/gguf_value.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "formats/gguf/gguf_limits.h"

namespace larder::formats {
namespace {

struct TypeRow {
  std::string_view name;
  uint32_t bytes;
};
constexpr std::array<TypeRow, kGgufTypeCount> kTypeRows = {{{"u8", 1},
                                                            {"i8", 1},
                                                            {"u16", 2},
                                                            {"i16", 2},
                                                            {"u32", 4},
                                                            {"i32", 4},
                                                            {"f32", 4},
                                                            {"bool", 1},
                                                            {"string", 0},
                                                            {"array", 0},
                                                            {"u64", 8},
                                                            {"i64", 8},
                                                            {"f64", 8}}};

// An element type and a count precede the elements.
constexpr size_t kArrayPrefixBytes = sizeof(GgufType) + sizeof(uint64_t);

template <class T>
T load(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Null for a u64 that no int64 can hold. REQUIRES: is_integer(type)
std::optional<int64_t> load_integer(GgufType type, const std::byte* from) noexcept {
  switch (type) {
    case GgufType::u8:
      return load<uint8_t>(from);
    case GgufType::i8:
      return load<int8_t>(from);
    case GgufType::u16:
      return load<uint16_t>(from);
    case GgufType::i16:
      return load<int16_t>(from);
    case GgufType::u32:
      return load<uint32_t>(from);
    case GgufType::i32:
      return load<int32_t>(from);
    case GgufType::u64: {
      const auto value = load<uint64_t>(from);
      if (value > uint64_t{INT64_MAX}) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return load<int64_t>(from);
  }
}

bool is_float(GgufType type) noexcept { return type == GgufType::f32 || type == GgufType::f64; }

// REQUIRES: is_float(type)
double load_float(GgufType type, const std::byte* from) noexcept {
  return type == GgufType::f32 ? double{load<float>(from)} : load<double>(from);
}

// Length-prefixed; moves `from` behind it.
std::string_view load_string(const std::byte*& from) noexcept {
  const auto length = static_cast<size_t>(load<uint64_t>(from));
  const std::string_view text(reinterpret_cast<const char*>(from) + sizeof(uint64_t), length);
  from += sizeof(uint64_t) + length;
  return text;
}

// Behind the last element of an array that was validated.
const std::byte* end_of_array(const std::byte* from) noexcept {
  std::array<uint64_t, kMaxArrayNesting + 1> left = {};  // arrays to come, per level
  size_t depth = 0;
  for (;;) {
    const auto type = load<GgufType>(from);
    const auto count = load<uint64_t>(from + sizeof(GgufType));
    from += kArrayPrefixBytes;
    if (type == GgufType::array && count != 0) {
      left[depth++] = count;
      continue;
    }
    if (type == GgufType::string) {
      for (uint64_t i = 0; i < count; ++i) load_string(from);
    } else {
      from += count * gguf_type_bytes(type);
    }
    while (depth != 0 && --left[depth - 1] == 0) --depth;
    if (depth == 0) return from;
  }
}

Status wrong_kind(std::string_view expected, GgufType found, uint64_t offset) {
  return Status(
      Cause::value_type,
      "expected " + std::string(expected) + ", the file has " + std::string(gguf_type_name(found)),
      {}, offset);
}

Status wrong_elements(std::string_view expected, GgufType found) {
  return Status(Cause::value_type, "expected an array of " + std::string(expected) +
                                       ", the file has one of " +
                                       std::string(gguf_type_name(found)));
}

Status element_too_large(uint64_t index) {
  return Status(Cause::value_type,
                "element " + std::to_string(index) + " of the array does not fit its kind");
}

Status no_memory(uint64_t count) {
  return Status(Cause::out_of_memory,
                "no memory for an array of " + std::to_string(count) + " elements");
}

}  // namespace

std::string_view gguf_type_name(GgufType type) noexcept {
  const auto id = static_cast<uint32_t>(type);
  return id < kGgufTypeCount ? kTypeRows[id].name : "unknown";
}

uint32_t gguf_type_bytes(GgufType type) noexcept {
  const auto id = static_cast<uint32_t>(type);
  return id < kGgufTypeCount ? kTypeRows[id].bytes : 0;
}

bool is_integer(GgufType type) noexcept {
  return type <= GgufType::i32 || type == GgufType::u64 || type == GgufType::i64;
}

Result<std::vector<int64_t>> GgufArray::to_integers() const try {
  if (count_ == 0) return std::vector<int64_t>();
  if (!is_integer(type_)) return wrong_elements("integers", type_);
  std::vector<int64_t> values(count_);
  for (uint64_t i = 0; i < count_; ++i) {
    const auto value = load_integer(type_, raw_.data() + i * gguf_type_bytes(type_));
    if (!value) return element_too_large(i);
    values[i] = *value;
  }
  return values;
} catch (const std::bad_alloc&) {
  return no_memory(count_);
}

Result<std::vector<float>> GgufArray::to_floats() const try {
  if (count_ == 0) return std::vector<float>();
  if (!is_float(type_)) return wrong_elements("floats", type_);
  std::vector<float> values(count_);
  if (type_ == GgufType::f32) {
    std::memcpy(values.data(), raw_.data(), raw_.size());
    return values;
  }
  for (uint64_t i = 0; i < count_; ++i) {
    const auto value = load<double>(raw_.data() + i * sizeof(double));
    if (std::isfinite(value) && std::abs(value) > double{std::numeric_limits<float>::max()}) {
      return element_too_large(i);
    }
    values[i] = static_cast<float>(value);
  }
  return values;
} catch (const std::bad_alloc&) {
  return no_memory(count_);
}

Result<std::vector<bool>> GgufArray::to_bools() const try {
  if (count_ == 0) return std::vector<bool>();
  if (type_ != GgufType::boolean) return wrong_elements("bools", type_);
  std::vector<bool> values(count_);
  for (uint64_t i = 0; i < count_; ++i) values[i] = raw_[i] != std::byte{0};
  return values;
} catch (const std::bad_alloc&) {
  return no_memory(count_);
}

Result<std::vector<std::string_view>> GgufArray::to_strings() const try {
  if (count_ == 0) return std::vector<std::string_view>();
  if (type_ != GgufType::string) return wrong_elements("strings", type_);
  std::vector<std::string_view> values(count_);
  const std::byte* next = raw_.data();
  for (auto& value : values) value = load_string(next);
  return values;
} catch (const std::bad_alloc&) {
  return no_memory(count_);
}

Result<std::vector<GgufArray>> GgufArray::to_arrays() const try {
  if (count_ == 0) return std::vector<GgufArray>();
  if (type_ != GgufType::array) return wrong_elements("arrays", type_);
  std::vector<GgufArray> arrays(count_);
  const std::byte* next = raw_.data();
  for (auto& array : arrays) {
    const std::byte* end = end_of_array(next);
    array = whole({next, end});
    next = end;
  }
  return arrays;
} catch (const std::bad_alloc&) {
  return no_memory(count_);
}

GgufArray GgufArray::whole(std::span<const std::byte> bytes) noexcept {
  GgufArray array;
  array.type_ = load<GgufType>(bytes.data());
  array.count_ = load<uint64_t>(bytes.data() + sizeof(GgufType));
  array.raw_ = bytes.subspan(kArrayPrefixBytes);
  return array;
}

Result<int64_t> GgufValue::to_integer() const {
  if (!is_integer(type_)) return wrong_kind("an integer", type_, offset_);
  const auto value = load_integer(type_, raw_.data());
  if (!value) {
    return Status(Cause::limit,
                  "expected at most " + std::to_string(INT64_MAX) + ", the file has " +
                      std::to_string(load<uint64_t>(raw_.data())),
                  {}, offset_);
  }
  return *value;
}

Result<double> GgufValue::to_float() const {
  if (!is_float(type_)) return wrong_kind("a float", type_, offset_);
  return load_float(type_, raw_.data());
}

Result<bool> GgufValue::to_bool() const {
  if (type_ != GgufType::boolean) return wrong_kind("a bool", type_, offset_);
  return raw_[0] != std::byte{0};
}

Result<std::string_view> GgufValue::to_string() const {
  if (type_ != GgufType::string) return wrong_kind("a string", type_, offset_);
  const std::byte* from = raw_.data();
  return load_string(from);
}

Result<GgufArray> GgufValue::to_array() const {
  if (type_ != GgufType::array) return wrong_kind("an array", type_, offset_);
  return GgufArray::whole(raw_);
}

}  // namespace larder::formats
