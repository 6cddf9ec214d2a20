#include "runtime/experts/weight_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace larder::runtime {
namespace {

using formats::FileIdentity;

Status io_error(const std::string& path, const char* what, int error) {
  return Status(Cause::io, std::string(what) + ": " + std::generic_category().message(error))
      .with_file(path);
}

int open_file(const std::string& path, int flags) noexcept {
  int descriptor = -1;
  do {
    // O_NONBLOCK: a FIFO that took the file's place must not wait.
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
  } while (descriptor < 0 && errno == EINTR);
  // From here on it would only make io_uring refuse reads where the file system has to wait.
  if (descriptor >= 0) ::fcntl(descriptor, F_SETFL, flags);
  return descriptor;
}

// 0, or errno.
int examine(int descriptor, FileIdentity& identity) noexcept {
  struct stat info = {};
  if (::fstat(descriptor, &info) != 0) return errno;
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  identity = {.device = static_cast<uint64_t>(info.st_dev),
              .inode = static_cast<uint64_t>(info.st_ino),
              .size_bytes = static_cast<uint64_t>(info.st_size),
              .modified_ns = int64_t{info.st_mtim.tv_sec} * kNsPerSecond + info.st_mtim.tv_nsec};
  return 0;
}

// Errors that belong to the disk and not to this kind of read are left to the reads that count.
bool can_read_directly(int descriptor) noexcept {
  alignas(WeightFiles::kAlignment) std::byte block[WeightFiles::kAlignment];
  return ::pread(descriptor, block, sizeof block, 0) >= 0 || errno != EINVAL;
}

}  // namespace

WeightFiles& WeightFiles::operator=(WeightFiles&& other) noexcept {
  std::swap(shards_, other.shards_);
  std::swap(note_, other.note_);
  return *this;
}

WeightFiles::~WeightFiles() {
  for (const Shard& shard : shards_)
    if (shard.descriptor >= 0) ::close(shard.descriptor);
}

Status WeightFiles::open_shard(const formats::MappedFile& mapped, Access access) {
  Shard& shard = shards_.emplace_back();
  shard.path = mapped.path();
  shard.identity = mapped.identity();
  errno = EINVAL;
  if (access == Access::direct) shard.descriptor = open_file(shard.path, O_DIRECT);
  if (shard.descriptor >= 0 && !can_read_directly(shard.descriptor)) {
    ::close(shard.descriptor);
    shard.descriptor = -1;
    errno = EINVAL;
  }
  if (shard.descriptor < 0 && errno == EINVAL) {
    note_ = access == Access::direct
                ? "the file system has no direct reads; they go through the page cache"
                : "reads go through the page cache";
    shard.descriptor = open_file(shard.path, 0);
    // No reading ahead: what is needed next is elsewhere.
    if (shard.descriptor >= 0) ::posix_fadvise(shard.descriptor, 0, 0, POSIX_FADV_RANDOM);
  }
  if (shard.descriptor < 0) return io_error(shard.path, "cannot open", errno);
  return check(static_cast<int32_t>(shards_.size()) - 1);
}

Result<WeightFiles> WeightFiles::open(const formats::GgufFile& file, Access access) {
  WeightFiles files;
  for (int i = 0; i < file.n_shards(); ++i) {
    const formats::MappedFile* const mapped = file.shard(i);
    if (mapped == nullptr)
      return Status(Cause::unsupported, "a model in memory has no file to read experts from")
          .with_file(file.path());
    if (Status s = files.open_shard(*mapped, access); !s.ok()) return s;
  }
  return files;
}

Status WeightFiles::check(int32_t shard) const {
  const Shard& opened = at(shard);
  FileIdentity now;
  if (const int error = examine(opened.descriptor, now); error != 0)
    return io_error(opened.path, "cannot examine", error);
  if (now == opened.identity) return {};
  if (now.size_bytes < opened.identity.size_bytes)
    return Status(Cause::truncated, "was cut from " + std::to_string(opened.identity.size_bytes) +
                                        " to " + std::to_string(now.size_bytes) +
                                        " bytes since it was opened")
        .with_file(opened.path);
  return Status(Cause::changed, "was changed since it was opened").with_file(opened.path);
}

void WeightFiles::forget(int32_t shard, uint64_t offset, uint64_t n_bytes) const noexcept {
  ::posix_fadvise(at(shard).descriptor, static_cast<off_t>(offset), static_cast<off_t>(n_bytes),
                  POSIX_FADV_DONTNEED);
}

}  // namespace larder::runtime
