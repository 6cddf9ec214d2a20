// The header of a safetensors file: eight bytes of its length, then JSON that says where each
// tensor lies. Tensors cover the rest of the file without gaps and without overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/safetensors/safetensors_type.h"
#include "formats/status.h"

namespace larder::formats {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // Source: the format
inline constexpr uint64_t kSafetensorsLengthBytes = 8;

// "[2, 3]", for messages.
std::string shape_text(const std::vector<uint64_t>& shape);

struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::f32;
  std::vector<uint64_t> shape;  // outermost first; empty for a scalar
  uint64_t file_offset = 0;     // absolute, in its file
  uint64_t size_bytes = 0;
  int shard = 0;  // of a set; 0 in a file by itself

  uint64_t n_elements() const noexcept { return size_bytes / traits_of(type).bytes; }
  std::string shape_text() const { return formats::shape_text(shape); }
};

// Bytes of the header behind its length. Errors: `truncated`, `limit`.
Result<uint64_t> safetensors_header_bytes(
    std::span<const std::byte, kSafetensorsLengthBytes> length, uint64_t file_bytes);

// Tensors in the order of their bytes. `header`: what stands behind the length. Errors: those of
// JSON, and `value_type`, `tensor_type`, `dim`, `overflow`, `shape`, `offset`, `overlap`, `name`,
// with the tensor.
Result<std::vector<SafetensorsTensor>> parse_safetensors_header(std::string_view header,
                                                                uint64_t file_bytes);

}  // namespace larder::formats
