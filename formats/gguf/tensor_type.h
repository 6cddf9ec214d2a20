// The sizes of GGUF's tensor types. What their bytes mean is quant's business.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace larder::formats {

// A tensor type of the container, by its id in the file. Source: ggml's type ids, 2026-08.
struct TensorType {
  int32_t id;
  std::string_view name;    // "Q4_K"
  uint32_t block_elements;  // elements of a row that share one block
  uint32_t block_bytes;
};

// All types that may occur in a file, ascending by id. Removed ids are not listed.
std::span<const TensorType> tensor_types() noexcept;

// Null for unknown and removed ids.
const TensorType* find_tensor_type(int32_t id) noexcept;

}  // namespace larder::formats
