// A regular file, opened once and mapped read-only, lazily: nothing is read before it is touched.
// Touching bytes() of a file that was cut short, or whose disk fails, raises SIGBUS; read_at()
// returns an error instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/status.h"

namespace larder::formats {

// Identifies the bytes behind a path, to notice that a file was replaced or rewritten.
struct FileIdentity {
  uint64_t device = 0, inode = 0, size_bytes = 0;
  int64_t modified_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

class MappedFile {
 public:
  // Only regular files; a FIFO, directory or device is an error at once, never a wait.
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  int descriptor() const noexcept { return descriptor_; }
  const FileIdentity& identity() const noexcept { return identity_; }

  // For whoever will not touch the mapping any more: memory gives back its pages, and the page
  // cache the file's first n_bytes, those that were read of it.
  void leave(uint64_t n_bytes) const noexcept;

  // These bytes will be read soon: the system may fetch them meanwhile.
  void will_read(uint64_t offset, uint64_t n_bytes) const noexcept;
  // Reads without touching the mapping. EINTR and short reads are continued; EOF is `truncated`.
  Status read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  MappedFile() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;
  FileIdentity identity_;
};

}  // namespace larder::formats
