// A model's files, opened once more for reads past the page cache.
#pragma once

#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::runtime {

class WeightFiles {
 public:
  // Offsets, lengths and addresses of reads are multiples of it: the block of nearly all disks, and
  // the page. Coarser ones are noticed by a read when the files are opened.
  static constexpr uint64_t kAlignment = 4096;

  // Errors: `io`; `changed` if a path leads elsewhere by now; `unsupported` for a model in memory.
  // Where a file system has no direct reads they go through the page cache, and note() says so.
  enum class Access { direct, page_cache };
  static Result<WeightFiles> open(const formats::GgufFile& file, Access access = Access::direct);

  WeightFiles(WeightFiles&& other) noexcept { *this = std::move(other); }
  WeightFiles& operator=(WeightFiles&& other) noexcept;
  ~WeightFiles();

  int descriptor(int32_t shard) const noexcept { return at(shard).descriptor; }
  const std::string& path(int32_t shard) const noexcept { return at(shard).path; }
  bool is_direct() const noexcept { return note_.empty(); }
  const std::string& note() const noexcept { return note_; }

  // Whether the file is what it was: `truncated`, `changed`, or `io`.
  Status check(int32_t shard) const;
  // What was read through the page cache leaves it.
  void forget(int32_t shard, uint64_t offset, uint64_t n_bytes) const noexcept;

 private:
  struct Shard {
    std::string path;
    int descriptor = -1;
    formats::FileIdentity identity;
  };
  WeightFiles() = default;
  const Shard& at(int32_t shard) const noexcept { return shards_[static_cast<size_t>(shard)]; }
  Status open_shard(const formats::MappedFile& mapped, Access access);

  std::vector<Shard> shards_;
  std::string note_;
};

}  // namespace larder::runtime
