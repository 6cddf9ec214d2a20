// Writes a model as one GGUF file, or as shards of a limited size ("<prefix>-00001-of-00003.gguf"),
// through GgufWriter. Either all shards appear or none that a reader would take for the model: the
// first one, which names the others, gets its name last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_writer.h"

namespace larder::formats {

class GgufSplitWriter {
 public:
  // A shard's tensors take at most so many bytes, but for one that is larger by itself; 0 writes
  // one file of the name that begin() gets.
  explicit GgufSplitWriter(uint64_t most_shard_bytes = 0) : most_bytes_(most_shard_bytes) {}

  // The model's metadata go here; tensors do not.
  GgufWriter& metadata() noexcept { return first_; }
  // As GgufWriter's.
  void add_tensor(std::string_view name, const TensorType& type, std::span<const uint64_t> dims);

  // As GgufWriter's; `path` without number, its ".gguf" is replaced. Temporary files that ended
  // runs left beside the names are removed.
  Status begin(const std::string& path);
  Status append(std::span<const std::byte> data);
  Status finish();

  // Of all shards, once begun.
  const std::vector<std::string>& paths() const noexcept { return paths_; }

 private:
  struct Tensor {
    std::string name;
    const TensorType* type;
    std::vector<uint64_t> dims;
    uint64_t size_bytes;
    size_t shard;
  };
  size_t assign_shards();
  void set_split_keys(GgufWriter& writer, size_t number);
  GgufWriter& writer(size_t shard) { return shard == 0 ? first_ : others_[shard - 1]; }

  uint64_t most_bytes_;
  GgufWriter first_;
  std::vector<GgufWriter> others_;
  std::vector<Tensor> tensors_;
  std::vector<std::string> paths_;
  size_t current_ = 0;      // the tensor that the next bytes belong to
  uint64_t n_written_ = 0;  // of its bytes
};

}  // namespace larder::formats
