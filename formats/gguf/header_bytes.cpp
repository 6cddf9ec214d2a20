#include "formats/gguf/header_bytes.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "formats/gguf/gguf_limits.h"

namespace larder::formats {
namespace {

// A multiple of every page size in use; most headers without a vocabulary fit.
constexpr size_t kChunkBytes = 64 * 1024;

constexpr size_t whole_chunks(size_t bytes) {
  return (bytes + kChunkBytes - 1) / kChunkBytes * kChunkBytes;
}

Status out_of_memory(uint64_t bytes) {
  return Status(Cause::out_of_memory,
                "no memory for " + std::to_string(bytes) +
                    " bytes of header: " + std::generic_category().message(errno));
}

}  // namespace

HeaderBytes::HeaderBytes(std::span<const std::byte> memory) noexcept
    : data_(const_cast<std::byte*>(memory.data())),
      available_(std::min<uint64_t>(memory.size(), kMaxHeaderBytes)),
      file_bytes_(memory.size()) {}

Result<HeaderBytes> HeaderBytes::reserve(const MappedFile& file) {
  HeaderBytes header;
  header.file_ = &file;
  header.file_bytes_ = file.bytes().size();
  const auto wanted = static_cast<size_t>(std::min(header.file_bytes_, kMaxHeaderBytes));
  if (wanted == 0) return header;
  // PROT_NONE: neither overcommit nor RLIMIT_DATA count what is only reserved.
  void* data = ::mmap(nullptr, whole_chunks(wanted), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return out_of_memory(wanted);
  header.data_ = static_cast<std::byte*>(data);
  header.reserved_ = whole_chunks(wanted);
  return header;
}

HeaderBytes::HeaderBytes(HeaderBytes&& other) noexcept { *this = std::move(other); }

HeaderBytes& HeaderBytes::operator=(HeaderBytes&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(available_, other.available_);
  std::swap(reserved_, other.reserved_);
  std::swap(file_bytes_, other.file_bytes_);
  return *this;
}

HeaderBytes::~HeaderBytes() {
  if (reserved_ != 0) ::munmap(data_, reserved_);
}

Status HeaderBytes::grow(uint64_t end) {
  if (end <= available_) return {};
  if (end > file_bytes_) {
    return Status(Cause::truncated, "the header goes on to byte " + std::to_string(end) +
                                        ", the file has " + std::to_string(file_bytes_));
  }
  if (end > kMaxHeaderBytes) {
    return Status(Cause::limit, "the header is larger than the limit of " +
                                    std::to_string(kMaxHeaderBytes) + " bytes");
  }
  // Doubling keeps the number of reads logarithmic and what is read in vain below the header.
  const size_t target = whole_chunks(std::max<size_t>(static_cast<size_t>(end), 2 * available_));
  const size_t first_new = whole_chunks(available_);
  const size_t protected_end = std::min(target, reserved_);
  if (protected_end > first_new &&
      ::mprotect(data_ + first_new, protected_end - first_new, PROT_READ | PROT_WRITE) != 0) {
    return out_of_memory(protected_end);
  }
  const auto new_end =
      static_cast<size_t>(std::min({uint64_t{target}, file_bytes_, kMaxHeaderBytes}));
  Status read = file_->read_at(available_, {data_ + available_, new_end - available_});
  if (read.ok()) available_ = new_end;
  return read;
}

void HeaderBytes::seal() noexcept {
  file_ = nullptr;
  if (reserved_ == 0) return;
  const size_t kept = whole_chunks(available_);
  if (kept < reserved_) ::munmap(data_ + kept, reserved_ - kept);
  reserved_ = kept;
  if (kept != 0) ::mprotect(data_, kept, PROT_READ);
}

}  // namespace larder::formats
