#include "formats/safetensors/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "formats/gguf/checked_size.h"
#include "formats/gguf/printable_name.h"
#include "formats/json/json.h"

namespace larder::formats {
namespace {

constexpr size_t kMaxDims = 8;          // files in the wild have five at most
constexpr size_t kMaxNameBytes = 1024;  // files in the wild stay below 200
constexpr std::string_view kMetadata = "__metadata__";

Status refuse(const std::string& name, Cause cause, std::string why) {
  return Status(cause, std::move(why), tensor_subject(name));
}

bool is_whole(const DataValue& value) noexcept {
  return value.kind == DataValue::Kind::integer && value.integer >= 0;
}

// Error, or the number of elements.
Result<CheckedSize> read_shape(const DataValue& description, SafetensorsTensor& tensor) {
  const DataValue* const shape = description.find("shape");
  if (shape == nullptr || shape->kind != DataValue::Kind::list)
    return refuse(tensor.name, Cause::value_type, "expected a list named shape");
  if (shape->list.size() > kMaxDims)
    return refuse(tensor.name, Cause::dim, "more than " + std::to_string(kMaxDims) + " dims");
  CheckedSize n_elements = 1;
  for (const DataValue& dim : shape->list) {
    if (!is_whole(dim)) return refuse(tensor.name, Cause::dim, "a dim is no whole number");
    tensor.shape.push_back(static_cast<uint64_t>(dim.integer));
    n_elements = n_elements * tensor.shape.back();
  }
  return n_elements;
}

Status read_offsets(const DataValue& description, uint64_t data_begin, uint64_t file_bytes,
                    SafetensorsTensor& tensor) {
  const DataValue* const ends = description.find("data_offsets");
  if (ends == nullptr || ends->kind != DataValue::Kind::list || ends->list.size() != 2 ||
      !is_whole(ends->list[0]) || !is_whole(ends->list[1]))
    return refuse(tensor.name, Cause::value_type, "expected two whole numbers named data_offsets");
  const auto begin = static_cast<uint64_t>(ends->list[0].integer);
  const auto end = static_cast<uint64_t>(ends->list[1].integer);
  if (end < begin) return refuse(tensor.name, Cause::offset, "ends before it begins");
  if (end > file_bytes - data_begin)
    return refuse(tensor.name, Cause::truncated,
                  "ends at byte " + std::to_string(end) + " of data, the file has " +
                      std::to_string(file_bytes - data_begin));
  tensor.file_offset = data_begin + begin;
  tensor.size_bytes = end - begin;
  return {};
}

Result<SafetensorsTensor> read_tensor(const std::string& name, const DataValue& description,
                                      uint64_t data_begin, uint64_t file_bytes) {
  SafetensorsTensor tensor;
  tensor.name = name;
  if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != std::string::npos)
    return refuse(name, Cause::name, "not a tensor name");
  const DataValue* const type_name = description.find("dtype");
  if (type_name == nullptr || type_name->kind != DataValue::Kind::string)
    return refuse(name, Cause::value_type, "expected a string named dtype");
  const SafetensorsTypeTraits* const traits = find_safetensors_type(type_name->string);
  if (traits == nullptr)
    return refuse(name, Cause::tensor_type,
                  "the type " + printable_name(type_name->string) + " is not supported");
  tensor.type = traits->type;
  const Result<CheckedSize> n_elements = read_shape(description, tensor);
  if (!n_elements) return n_elements.status();
  const CheckedSize size = *n_elements * traits->bytes;
  if (!size.ok()) return refuse(name, Cause::overflow, "too large for any file");
  if (Status status = read_offsets(description, data_begin, file_bytes, tensor); !status.ok())
    return status;
  if (tensor.size_bytes != size.value())
    return refuse(name, Cause::shape,
                  "its shape takes " + std::to_string(size.value()) + " bytes, it has " +
                      std::to_string(tensor.size_bytes));
  return tensor;
}

// REQUIRES: sorted by place
Status check_cover(const std::vector<SafetensorsTensor>& tensors, uint64_t data_begin,
                   uint64_t file_bytes) {
  uint64_t at = data_begin;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.file_offset < at)
      return refuse(tensor.name, Cause::overlap, "shares bytes with another tensor");
    if (tensor.file_offset > at)
      return refuse(tensor.name, Cause::offset,
                    std::to_string(tensor.file_offset - at) + " bytes before it are of no tensor");
    at += tensor.size_bytes;
  }
  if (at == file_bytes) return {};
  return Status(Cause::offset,
                std::to_string(file_bytes - at) + " bytes at the end are of no tensor", {}, at);
}

}  // namespace

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (const uint64_t dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

Result<uint64_t> safetensors_header_bytes(
    std::span<const std::byte, kSafetensorsLengthBytes> length, uint64_t file_bytes) {
  uint64_t n_bytes = 0;
  std::memcpy(&n_bytes, length.data(), sizeof n_bytes);
  if (n_bytes > kMaxSafetensorsHeaderBytes)
    return Status(Cause::limit, "a header of " + std::to_string(n_bytes) + " bytes; allowed are " +
                                    std::to_string(kMaxSafetensorsHeaderBytes) +
                                    ". Is this a safetensors file?");
  if (file_bytes < kSafetensorsLengthBytes || n_bytes > file_bytes - kSafetensorsLengthBytes)
    return Status(Cause::truncated, "the file ends inside its header", {}, file_bytes);
  return n_bytes;
}

Result<std::vector<SafetensorsTensor>> parse_safetensors_header(std::string_view header,
                                                                uint64_t file_bytes) try {
  const Result<DataValue> root = parse_json(header);
  if (!root) return root.status();
  if (root->kind != DataValue::Kind::dict)
    return Status(Cause::value_type, "the header is no JSON object", {}, kSafetensorsLengthBytes);
  const uint64_t data_begin = kSafetensorsLengthBytes + header.size();
  std::vector<SafetensorsTensor> tensors;
  tensors.reserve(root->dict.size());
  for (const auto& [name, description] : root->dict) {
    if (name == kMetadata) continue;
    Result<SafetensorsTensor> tensor = read_tensor(name, description, data_begin, file_bytes);
    if (!tensor) return tensor.status();
    tensors.push_back(std::move(*tensor));
  }
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.file_offset, a.size_bytes) < std::pair(b.file_offset, b.size_bytes);
  });
  if (Status status = check_cover(tensors, data_begin, file_bytes); !status.ok()) return status;
  return tensors;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::formats
