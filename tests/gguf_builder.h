// Writes GGUF bytes field by field, well or badly formed. Shares no code with formats/gguf, so that
// a mistake there cannot hide here. Every field that a reader could be fooled with can be given
// raw.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace larder::tests {

using Bytes = std::string;  // raw; a string is the handiest vector of bytes

// Little-endian encodings.
Bytes le8(uint64_t value);
Bytes le16(uint64_t value);
Bytes le32(uint64_t value);
Bytes le64(uint64_t value);
Bytes le_f32(float value);
Bytes le_f64(double value);
Bytes sized(std::string_view text);                           // u64 length, bytes
Bytes sized_as(uint64_t length, std::string_view text = {});  // a length that may lie

// Value type ids of the container.
enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// An array's value: element type, count, elements back to back.
Bytes array_of(uint32_t element_type, uint64_t count, std::string_view elements);
Bytes strings(const std::vector<std::string>& texts);

struct RawKey {
  std::string key;
  uint32_t type = kU32;
  Bytes value;
  std::optional<uint64_t> key_length = {};  // instead of key.size()
};

RawKey key_u32(std::string key, uint32_t value);
RawKey key_f32(std::string key, float value);
RawKey key_bool(std::string key, bool value);
RawKey key_string(std::string key, std::string_view value);
RawKey key_array(std::string key, uint32_t element_type, uint64_t count, std::string_view elements);

struct RawTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;                    // F32
  Bytes data;                           // placed after the previous tensor's, padded
  std::optional<uint64_t> offset = {};  // instead of the running sum
  std::optional<uint32_t> n_dims = {};  // instead of dims.size()
  std::optional<uint64_t> name_length = {};
};

RawTensor tensor_f32(std::string name, std::vector<uint64_t> dims, float first = 1.0F);

struct GgufBuilder {
  Bytes magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors = {};  // instead of tensors.size()
  std::optional<uint64_t> n_keys = {};
  std::vector<RawKey> keys;
  std::vector<RawTensor> tensors;
  uint64_t alignment = 32;  // of the layout; a general.alignment key is the caller's
  char padding = '\0';      // what fills the gap behind the header
  bool pad_last = true;     // to the alignment
  Bytes trailing;           // behind everything

  // The entry or tensor of that name; made if absent, so that a case can be written as one change.
  RawKey& key(std::string_view name);
  RawTensor& tensor(std::string_view name);

  Bytes header() const;  // up to the last tensor info, unpadded
  Bytes build() const;
};

}  // namespace larder::tests
