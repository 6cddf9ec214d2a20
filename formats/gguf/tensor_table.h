// The tensor infos of a header: reading them, and placing their data in the file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/byte_reader.h"
#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::formats {

// Reads `n_tensors` infos: names, shapes, types and sizes. file_offset is still relative to the
// data section. REQUIRES: the file is long enough for n_tensors of the smallest infos.
Result<std::vector<GgufTensor>> read_tensor_infos(ByteReader& reader, uint64_t n_tensors);

// Where tensor data may lie.
struct DataSection {
  std::span<const std::byte> header;  // what the tensors' names are views into
  uint64_t begin = 0;                 // absolute, aligned
  uint64_t alignment = 0;
  uint64_t file_bytes = 0;
};

// Makes every file_offset absolute. Each tensor must be aligned, inside the file, and share no byte
// with another. Any order is accepted; gaps and trailing bytes are accepted with a warning.
Status place_tensors(const DataSection& section, std::vector<GgufTensor>& tensors,
                     std::vector<std::string>& warnings);

}  // namespace larder::formats
