#include "tests/file_copy.h"

#include <doctest/doctest.h>

#include <filesystem>

namespace larder::tests {
namespace {

Bytes bytes_of(std::span<const std::byte> bytes) {
  return Bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

GgufBuilder copy_of(const formats::GgufFile& file) {
  GgufBuilder copy;
  for (const formats::GgufEntry& entry : file.entries())
    copy.keys.push_back({std::string(entry.key), static_cast<uint32_t>(entry.value.type()),
                         bytes_of(entry.value.raw())});
  for (const formats::GgufTensor& tensor : file.tensors()) {
    RawTensor raw;
    raw.name = std::string(tensor.name);
    raw.dims.assign(tensor.dims.begin(), tensor.dims.begin() + tensor.n_dims);
    raw.type = tensor.type->id;
    raw.data = bytes_of(file.data(tensor));
    copy.tensors.push_back(std::move(raw));
  }
  return copy;
}

std::optional<GgufBuilder> copy_of_golden(const std::string& name) {
  std::string path = std::string(LARDER_TEST_DATA_DIR) + "/goldens/" + name + "/model.gguf";
  if (!std::filesystem::exists(path))
    path = std::string(LARDER_SHARED_DIR) + "/goldens/" + name + "/model.gguf";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const auto file = formats::GgufFile::open(path);
  REQUIRE_MESSAGE(file.ok(), file.status().to_string());
  return copy_of(**file);
}

const RawTensor* find_tensor(const GgufBuilder& file, const std::string& name) {
  for (const RawTensor& tensor : file.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

void drop_key(GgufBuilder& file, const std::string& key) {
  std::erase_if(file.keys, [&](const RawKey& entry) { return entry.key == key; });
}

void drop_tensor(GgufBuilder& file, const std::string& name) {
  std::erase_if(file.tensors, [&](const RawTensor& tensor) { return tensor.name == name; });
}

}  // namespace larder::tests
