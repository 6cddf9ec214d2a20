#include "tests/gguf_builder.h"

#include <cstring>

namespace larder::tests {
namespace {

Bytes little_endian(uint64_t value, int n_bytes) {
  Bytes out;
  for (int i = 0; i < n_bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

void pad(Bytes& out, uint64_t alignment, char with) {
  while (out.size() % alignment != 0) out += with;
}

}  // namespace

Bytes le8(uint64_t value) { return little_endian(value, 1); }
Bytes le16(uint64_t value) { return little_endian(value, 2); }
Bytes le32(uint64_t value) { return little_endian(value, 4); }
Bytes le64(uint64_t value) { return little_endian(value, 8); }

Bytes le_f32(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return le32(bits);
}

Bytes le_f64(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return le64(bits);
}

Bytes sized(std::string_view text) { return sized_as(text.size(), text); }
Bytes sized_as(uint64_t length, std::string_view text) { return le64(length) + Bytes(text); }

Bytes array_of(uint32_t element_type, uint64_t count, std::string_view elements) {
  return le32(element_type) + le64(count) + Bytes(elements);
}

Bytes strings(const std::vector<std::string>& texts) {
  Bytes elements;
  for (const auto& text : texts) elements += sized(text);
  return array_of(kString, texts.size(), elements);
}

RawKey key_u32(std::string key, uint32_t value) { return {std::move(key), kU32, le32(value)}; }
RawKey key_f32(std::string key, float value) { return {std::move(key), kF32, le_f32(value)}; }
RawKey key_bool(std::string key, bool value) { return {std::move(key), kBool, le8(value)}; }
RawKey key_string(std::string key, std::string_view value) {
  return {std::move(key), kString, sized(value)};
}
RawKey key_array(std::string key, uint32_t element_type, uint64_t count,
                 std::string_view elements) {
  return {std::move(key), kArray, array_of(element_type, count, elements)};
}

RawTensor tensor_f32(std::string name, std::vector<uint64_t> dims, float first) {
  uint64_t n = 1;
  for (const uint64_t dim : dims) n *= dim;
  Bytes data;
  for (uint64_t i = 0; i < n; ++i) data += le_f32(first + static_cast<float>(i));
  return {std::move(name), std::move(dims), 0, std::move(data)};
}

RawKey& GgufBuilder::key(std::string_view name) {
  for (RawKey& entry : keys) {
    if (entry.key == name) return entry;
  }
  return keys.emplace_back(RawKey{std::string(name), kU32, le32(0)});
}

RawTensor& GgufBuilder::tensor(std::string_view name) {
  for (RawTensor& entry : tensors) {
    if (entry.name == name) return entry;
  }
  return tensors.emplace_back(RawTensor{std::string(name), {}, 0, {}});
}

Bytes GgufBuilder::header() const {
  Bytes out = magic + le32(version) + le64(n_tensors.value_or(tensors.size())) +
              le64(n_keys.value_or(keys.size()));
  for (const RawKey& entry : keys) {
    out += sized_as(entry.key_length.value_or(entry.key.size()), entry.key);
    out += le32(entry.type) + entry.value;
  }
  uint64_t offset = 0;
  for (const RawTensor& entry : tensors) {
    out += sized_as(entry.name_length.value_or(entry.name.size()), entry.name);
    out += le32(entry.n_dims.value_or(static_cast<uint32_t>(entry.dims.size())));
    for (const uint64_t dim : entry.dims) out += le64(dim);
    out += le32(entry.type) + le64(entry.offset.value_or(offset));
    offset += (entry.data.size() + alignment - 1) / alignment * alignment;
  }
  return out;
}

Bytes GgufBuilder::build() const {
  Bytes out = header();
  if (!tensors.empty()) pad(out, alignment, padding);
  for (size_t i = 0; i < tensors.size(); ++i) {
    out += tensors[i].data;
    if (i + 1 < tensors.size() || pad_last) pad(out, alignment, '\0');
  }
  return out + trailing;
}

}  // namespace larder::tests
