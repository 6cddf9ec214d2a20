#include "formats/gguf/tensor_table.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "formats/gguf/checked_size.h"
#include "formats/gguf/gguf_limits.h"
#include "formats/gguf/printable_name.h"

namespace larder::formats {
namespace {

std::string text_of(uint64_t n) { return std::to_string(n); }

Result<std::string_view> read_name(ByteReader& reader, size_t position) {
  const uint64_t offset = reader.offset();
  const auto subject = [&] { return "tensor number " + text_of(position); };
  uint64_t length = 0;
  if (!reader.read_length(length)) return reader.failure(subject());
  if (length == 0 || length > kMaxTensorNameBytes) {
    return Status(Cause::name,
                  "expected a name of 1 to " + text_of(kMaxTensorNameBytes) +
                      " bytes, this one has " + text_of(length),
                  subject(), offset);
  }
  std::string_view name;
  if (!reader.read_text(length, name)) return reader.failure(subject());
  if (name.find('\0') != std::string_view::npos || !is_utf8(name)) {
    return Status(Cause::name, "expected a name in UTF-8 without NUL", tensor_subject(name),
                  offset);
  }
  return name;
}

Status read_dims(ByteReader& reader, GgufTensor& tensor) {
  const auto subject = [&] { return tensor_subject(tensor.name); };
  const uint64_t offset = reader.offset();
  uint32_t n_dims = 0;
  if (!reader.read(n_dims)) return reader.failure(subject());
  if (n_dims == 0 || n_dims > kMaxTensorDims) {
    return Status(
        Cause::n_dims,
        "expected 1 to " + text_of(kMaxTensorDims) + " dimensions, the file has " + text_of(n_dims),
        subject(), offset);
  }
  tensor.n_dims = static_cast<int>(n_dims);
  for (uint32_t i = 0; i < n_dims; ++i) {
    const uint64_t dim_offset = reader.offset();
    if (!reader.read(tensor.dims[i])) return reader.failure(subject());
    if (tensor.dims[i] == 0 || tensor.dims[i] > uint64_t{INT64_MAX}) {
      return Status(Cause::dim,
                    "expected dimension " + text_of(i) + " from 1 to 2^63-1, the file has " +
                        text_of(tensor.dims[i]),
                    subject(), dim_offset);
    }
  }
  return {};
}

std::string shape_of(const GgufTensor& tensor) {
  std::string shape = "[";
  for (int i = 0; i < tensor.n_dims; ++i) {
    shape += (i == 0 ? "" : ", ") + text_of(tensor.dims[static_cast<size_t>(i)]);
  }
  return shape + "]";
}

Status read_type_and_size(ByteReader& reader, GgufTensor& tensor) {
  const auto subject = [&] { return tensor_subject(tensor.name); };
  const uint64_t offset = reader.offset();
  int32_t type_id = 0;
  if (!reader.read(type_id)) return reader.failure(subject());
  tensor.type = find_tensor_type(type_id);
  if (tensor.type == nullptr) {
    return Status(Cause::tensor_type,
                  "tensor type " + std::to_string(type_id) + " is unknown or was removed",
                  subject(), offset);
  }
  if (tensor.dims[0] % tensor.type->block_elements != 0) {
    return Status(Cause::block,
                  "expected rows of whole " + std::string(tensor.type->name) + " blocks of " +
                      text_of(tensor.type->block_elements) + " elements, the file has rows of " +
                      text_of(tensor.dims[0]),
                  subject(), offset);
  }
  CheckedSize n_elements = 1;
  for (const uint64_t dim : tensor.dims) n_elements = n_elements * dim;
  const CheckedSize bytes = n_elements * tensor.type->block_bytes / tensor.type->block_elements;
  if (!bytes.ok()) {
    return Status(Cause::overflow,
                  "the size of " + shape_of(tensor) + " in " + std::string(tensor.type->name) +
                      " does not fit 63 bits",
                  subject(), offset);
  }
  tensor.size_bytes = bytes.value();
  return {};
}

uint64_t info_offset(const DataSection& section, const GgufTensor& tensor) noexcept {
  const auto* name = reinterpret_cast<const std::byte*>(tensor.name.data());
  return static_cast<uint64_t>(name - section.header.data()) - sizeof(uint64_t);
}

Status bad(const DataSection& section, const GgufTensor& tensor, Cause cause, std::string why) {
  return Status(cause, std::move(why), tensor_subject(tensor.name), info_offset(section, tensor));
}

// What would overflow comes first, so that later checks are about this file and no longer about
// numbers.
Status check_numbers(const DataSection& section, const std::vector<GgufTensor>& tensors) {
  CheckedSize total = section.begin;
  for (const GgufTensor& tensor : tensors) {
    total = (total + tensor.size_bytes).aligned_to(section.alignment);
    if (!total.ok()) {
      return bad(section, tensor, Cause::overflow, "the sum of the sizes does not fit 63 bits");
    }
    if (tensor.file_offset % section.alignment != 0) {
      return bad(section, tensor, Cause::offset,
                 "expected a data offset aligned to " + text_of(section.alignment) +
                     ", the file has " + text_of(tensor.file_offset));
    }
    if (!(CheckedSize(section.begin) + tensor.file_offset + tensor.size_bytes).ok()) {
      return bad(section, tensor, Cause::offset,
                 "the data offset " + text_of(tensor.file_offset) + " is beyond any file");
    }
  }
  return {};
}

std::vector<uint32_t> by_offset(const std::vector<GgufTensor>& tensors) {
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto is_before = [&](uint32_t a, uint32_t b) {
    return tensors[a].file_offset < tensors[b].file_offset;
  };
  if (!std::is_sorted(order.begin(), order.end(), is_before)) {
    std::sort(order.begin(), order.end(), is_before);
  }
  return order;
}

}  // namespace

Result<std::vector<GgufTensor>> read_tensor_infos(ByteReader& reader, uint64_t n_tensors) {
  std::vector<GgufTensor> tensors;
  tensors.reserve(n_tensors);
  for (uint64_t i = 0; i < n_tensors; ++i) {
    GgufTensor tensor;
    const auto name = read_name(reader, tensors.size());
    if (!name.ok()) return name.status();
    tensor.name = *name;
    if (Status status = read_dims(reader, tensor); !status.ok()) return status;
    if (Status status = read_type_and_size(reader, tensor); !status.ok()) return status;
    if (!reader.read(tensor.file_offset)) return reader.failure(tensor_subject(tensor.name));
    tensors.push_back(tensor);
  }
  return tensors;
}

Status place_tensors(const DataSection& section, std::vector<GgufTensor>& tensors,
                     std::vector<std::string>& warnings) {
  if (Status status = check_numbers(section, tensors); !status.ok()) return status;
  const GgufTensor* previous = nullptr;
  uint64_t end = section.begin;  // of the data so far
  uint64_t gap_bytes = 0;
  for (const uint32_t index : by_offset(tensors)) {
    GgufTensor& tensor = tensors[index];
    tensor.file_offset += section.begin;
    if (previous != nullptr && tensor.file_offset < end) {
      return bad(section, tensor, Cause::overlap,
                 "its data begin at byte " + text_of(tensor.file_offset) + ", those of tensor " +
                     printable_name(previous->name) + " end at " + text_of(end));
    }
    gap_bytes += tensor.file_offset - CheckedSize(end).aligned_to(section.alignment).value();
    end = tensor.file_offset + tensor.size_bytes;
    if (end > section.file_bytes) {
      return bad(section, tensor, Cause::truncated,
                 "its data end at byte " + text_of(end) + ", the file at " +
                     text_of(section.file_bytes) + "; is the download complete?");
    }
    previous = &tensor;
  }
  if (gap_bytes != 0) {
    warnings.push_back(text_of(gap_bytes) + " bytes between tensors belong to none");
  }
  const uint64_t padded_end = CheckedSize(end).aligned_to(section.alignment).value();
  if (section.file_bytes > padded_end) {
    warnings.push_back(text_of(section.file_bytes - padded_end) + " bytes follow the last tensor");
  }
  return {};
}

}  // namespace larder::formats
