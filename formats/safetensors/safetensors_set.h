// The tensors of a folder: model.safetensors, or the shards that model.safetensors.index.json
// lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/gguf/mapped_file.h"
#include "formats/safetensors/safetensors_header.h"
#include "formats/status.h"

namespace larder::formats {

class SafetensorsSet {
 public:
  // Errors name the file: those of headers, `io` for a file that is not there, `split` where index
  // and shards do not agree.
  static Result<SafetensorsSet> open(const std::string& folder);

  std::span<const SafetensorsTensor> tensors() const noexcept { return tensors_; }
  const SafetensorsTensor* find(std::string_view name) const noexcept;  // null if absent
  uint64_t size_bytes() const noexcept;                                 // of all tensors
  const std::string& path_of(const SafetensorsTensor& tensor) const noexcept;

  // Bytes of a tensor from `offset` on. Errors: `io`, `truncated`, with file and tensor.
  // REQUIRES: offset + out.size() <= tensor.size_bytes
  Status read(const SafetensorsTensor& tensor, uint64_t offset, std::span<std::byte> out) const;
  // A hint that [offset, offset + n_bytes) of the tensor will be read soon.
  void will_read(const SafetensorsTensor& tensor, uint64_t offset, uint64_t n_bytes) const noexcept;

 private:
  SafetensorsSet() = default;
  Status add_shard(const std::string& path);
  Status index_names();

  std::vector<MappedFile> shards_;
  std::vector<SafetensorsTensor> tensors_;
  std::unordered_map<std::string_view, size_t> positions_;  // views of tensors_' names
};

}  // namespace larder::formats
