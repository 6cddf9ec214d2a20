// The front of a file in private memory: read once, piece by piece as the parser gets there, and
// never again, so that a file rewritten meanwhile cannot change what was validated.
//
// Layout: address space for the largest header is reserved at once (no memory), so that views into
// it stay valid while it grows; only the part that was read is backed by memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/gguf/mapped_file.h"
#include "formats/status.h"

namespace larder::formats {

class HeaderBytes {
 public:
  // Over memory of the caller: all of it is there from the start.
  explicit HeaderBytes(std::span<const std::byte> memory) noexcept;
  // Over a file, which must outlive the calls of grow().
  static Result<HeaderBytes> reserve(const MappedFile& file);

  HeaderBytes(HeaderBytes&& other) noexcept;
  HeaderBytes& operator=(HeaderBytes&& other) noexcept;
  ~HeaderBytes();

  uint64_t file_bytes() const noexcept { return file_bytes_; }
  std::span<const std::byte> available() const noexcept { return {data_, available_}; }

  // Makes [0, end) available. Errors: `truncated` past the file's end, `limit` past
  // kMaxHeaderBytes, `io`.
  Status grow(uint64_t end);
  // Gives back what was reserved and not read, and makes the rest read-only.
  void seal() noexcept;

 private:
  HeaderBytes() = default;

  const MappedFile* file_ = nullptr;  // null over memory
  std::byte* data_ = nullptr;
  size_t available_ = 0;
  size_t reserved_ = 0;  // 0 over memory
  uint64_t file_bytes_ = 0;
};

}  // namespace larder::formats
