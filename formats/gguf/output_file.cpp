#include "formats/gguf/output_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

namespace larder::formats {
namespace {

constexpr size_t kGatheredBytes = 256 * 1024;
constexpr uint64_t kWriteBackBytes = 16 << 20;  // more than a disk has queued
constexpr int kMaxNameAttempts = 100;
constexpr const char* kTemporaryMark = ".tmp-";

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

// Removes the file unless somebody has locked it.
void remove_unlocked(int directory, const char* name) noexcept {
  const int descriptor = ::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlinkat(directory, name, 0);
  ::close(descriptor);
}

// fsync() of a file, or of the directory that holds its name.
int synchronise(int descriptor) noexcept {
  int result = 0;
  do {
    result = ::fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result;
}

// Some file systems know no fsync of directories; then there is nothing to wait for.
int synchronise_directory(int descriptor) noexcept {
  const int result = synchronise(descriptor);
  return result != 0 && errno == EINVAL ? 0 : result;
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path, Readers readers) {
  OutputFile file;
  file.path_ = path;
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return Status(Cause::io, "expected the name of a regular file, this is none").with_file(path);
  }
  const mode_t mode = readers == Readers::owner ? 0600 : 0666;
  for (int attempt = 0; attempt < kMaxNameAttempts; ++attempt) {
    std::string name =
        path + kTemporaryMark + std::to_string(::getpid()) + "-" + std::to_string(attempt);
    file.descriptor_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file.descriptor_ >= 0 && file.keep_from_removal()) {
      file.temporary_path_ = std::move(name);
      return file;
    }
    if (file.descriptor_ < 0 && errno != EEXIST && errno != EINTR) break;
    if (file.descriptor_ >= 0) ::close(std::exchange(file.descriptor_, -1));
  }
  return file.error("cannot create a temporary file beside it", errno);
}

// False where another process took the new file for an abandoned one before it was locked. Where
// files cannot be locked, nobody removes them either; one that cannot be examined is taken as
// there.
bool OutputFile::keep_from_removal() noexcept {
  struct stat info = {};
  ::flock(descriptor_, LOCK_EX | LOCK_NB);
  return ::fstat(descriptor_, &info) != 0 || info.st_nlink > 0;
}

void OutputFile::remove_abandoned(const std::string& path) noexcept try {
  const std::string start = name_of(path) + kTemporaryMark;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_of(path).c_str()),
                                                      &::closedir);
  if (directory == nullptr) return;
  while (const dirent* const entry = ::readdir(directory.get())) {
    if (std::string_view(entry->d_name).starts_with(start)) {
      remove_unlocked(::dirfd(directory.get()), entry->d_name);
    }
  }
} catch (...) {  // of memory: then they stay for the next run
}

OutputFile::OutputFile(OutputFile&& other) noexcept { *this = std::move(other); }

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_path_, other.temporary_path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(written_bytes_, other.written_bytes_);
  std::swap(writing_back_bytes_, other.writing_back_bytes_);
  std::swap(pending_, other.pending_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

Status OutputFile::error(const char* what, int error) const {
  return Status(Cause::io, std::string(what) + ": " + std::generic_category().message(error), {},
                written_bytes_)
      .with_file(path_);
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  if (pending_.size() + bytes.size() < kGatheredBytes) {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    return {};
  }
  if (Status status = flush(); !status.ok()) return status;
  return write_through(bytes);
}

Status OutputFile::flush() {
  Status status = write_through(pending_);
  pending_.clear();
  return status;
}

Status OutputFile::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error("cannot write", errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
    written_bytes_ += static_cast<uint64_t>(n);
  }
  start_writing_back();
  return {};
}

// Lets the disk begin, so that neither a limit of dirty pages nor the end waits for all of them.
void OutputFile::start_writing_back() noexcept {
  const uint64_t n = written_bytes_ - writing_back_bytes_;
  if (n < kWriteBackBytes) return;
  ::sync_file_range(descriptor_, static_cast<off_t>(writing_back_bytes_), static_cast<off_t>(n),
                    SYNC_FILE_RANGE_WRITE);
  writing_back_bytes_ = written_bytes_;
}

Status OutputFile::commit() {
  if (Status status = flush(); !status.ok()) return status;
  if (synchronise(descriptor_) != 0) return error("cannot make durable", errno);
  // After EINTR, too, the descriptor is closed (Linux).
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) {
    return error("cannot close", errno);
  }
  // Whatever can fail does so before the name appears, but for the last fsync.
  const int directory = ::open(directory_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return error("cannot open its directory", errno);
  const bool is_renamed = ::rename(temporary_path_.c_str(), path_.c_str()) == 0;
  const bool is_durable = is_renamed && synchronise_directory(directory) == 0;
  const int error_number = errno;
  ::close(directory);
  if (!is_renamed) return error("cannot rename", error_number);
  temporary_path_.clear();
  if (!is_durable) {
    // An error says that there is no file; one that the next loss of power takes away is none.
    ::unlink(path_.c_str());
    return error("cannot make its name durable", error_number);
  }
  return {};
}

}  // namespace larder::formats
