// Reads GGUF versions 2 and 3 (little endian), single files and split ones.
//
// The header is read once into private memory, validated completely, and never read again; tensor
// data stay in the file, mapped lazily, so that opening takes milliseconds whatever the size.
// Every count is checked against the bytes left before anything is allocated for it.
//
// Where writers differ: tensor infos may stand in any order; gaps between tensors, trailing bytes
// and padding behind the header that is not zero are warnings; the last tensor may be unpadded.
// Overlapping tensors, tensors without dimensions and dimensions of 0 are errors. Limits are in
// gguf_limits.h. Names of tensors are opaque UTF-8 of 1 to 64 bytes without NUL.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "formats/gguf/gguf_value.h"
#include "formats/gguf/mapped_file.h"
#include "formats/gguf/tensor_type.h"
#include "formats/status.h"

namespace larder::formats {

// One tensor's place. Shape in ggml order: dims[0] is contiguous (a matmul's input width).
struct GgufTensor {
  std::string_view name;
  const TensorType* type = nullptr;
  int n_dims = 0;
  std::array<uint64_t, 4> dims = {1, 1, 1, 1};
  uint64_t size_bytes = 0;
  uint64_t file_offset = 0;  // absolute, in the shard
  int shard = 0;

  uint64_t row_bytes() const noexcept;  // dims[0] elements
  uint64_t n_rows() const noexcept { return dims[1] * dims[2] * dims[3]; }
};

class GgufFile {
 public:
  // Opens one file, or all shards when `path` is the first of a split file
  // ("<prefix>-00001-of-00003.gguf"). Errors name file, key or tensor, and offset.
  static Result<std::shared_ptr<const GgufFile>> open(const std::string& path);
  // The same reader over bytes in memory (tests, fuzzing). `bytes` must outlive the file.
  static Result<std::shared_ptr<const GgufFile>> parse(std::span<const std::byte> bytes,
                                                       std::string name);
  ~GgufFile();

  const std::string& path() const noexcept;
  uint32_t version() const noexcept;
  uint64_t alignment_bytes() const noexcept;
  uint64_t size_bytes() const noexcept;  // of all shards
  int n_shards() const noexcept;
  const MappedFile* shard(int index) const noexcept;  // null for parsed memory

  std::span<const GgufEntry> entries() const noexcept;         // in file order
  std::span<const GgufTensor> tensors() const noexcept;        // in file order, shard after shard
  const GgufValue* find(std::string_view key) const noexcept;  // O(1); null if absent
  const GgufTensor* find_tensor(std::string_view name) const noexcept;
  std::span<const std::byte> data(const GgufTensor& tensor) const noexcept;  // mapped

  // Things that are odd but harmless (trailing bytes, non-zero padding), one sentence each, with
  // the file's name.
  std::span<const std::string> warnings() const noexcept;

  // Required metadata: `missing` if absent, `value_type` if of another kind; errors name the key.
  Result<int64_t> integer(std::string_view key) const;
  Result<double> real(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::string_view> string(std::string_view key) const;
  Result<GgufArray> array(std::string_view key) const;

 private:
  struct Impl;
  explicit GgufFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace larder::formats
