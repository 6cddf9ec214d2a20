#include "apps/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "apps/signals.h"

namespace larder::apps {

namespace {

constexpr std::string_view kPartialEnd = ".partial";  // of the file that takes its place

bool is_same_regular_file(const std::string& a, const std::string& b) {
  struct stat of_a {
  }, of_b{};
  return stat(a.c_str(), &of_a) == 0 && stat(b.c_str(), &of_b) == 0 && S_ISREG(of_a.st_mode) &&
         of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// The one name of a place, whether something is there or not.
std::string place_of(const std::string& path) {
  std::error_code failed;
  const auto place = std::filesystem::weakly_canonical(std::filesystem::absolute(path), failed);
  return failed ? path : place.string();
}

}  // namespace

Result<Output> Output::open(const std::string& path, std::span<const std::string> in_use) {
  return open_for(path, in_use, Owner::many);
}

Result<Output> Output::open_alone(const std::string& path, std::span<const std::string> in_use) {
  return open_for(path, in_use, Owner::alone);
}

Status Output::check(const std::string& path, std::span<const std::string> in_use) {
  if (path == "-") return {};
  if (path.empty()) {
    return Status(Cause::invalid_argument, "a result needs the name of a file, or - for stdout");
  }
  for (const std::string& used : in_use) {
    if (is_same_regular_file(path, used)) {
      return Status(Cause::invalid_argument, "cannot be written: this run uses the file already")
          .with_file(path);
    }
  }
  struct stat info {};
  const bool is_there = stat(path.c_str(), &info) == 0;
  if (is_there && S_ISDIR(info.st_mode)) errno = EISDIR;
  if (is_there && !S_ISDIR(info.st_mode) && access(path.c_str(), W_OK) == 0) return {};
  if (!is_there && errno == ENOENT && access(folder_of(path).c_str(), W_OK | X_OK) == 0) return {};
  return Status(Cause::io, std::string("cannot be written: ") + std::strerror(errno))
      .with_file(path);
}

Status Output::check_alone(const std::string& path, std::span<const std::string> in_use) {
  if (Status s = check(path, in_use); !s.ok()) return s;
  const Status partial = check(path + std::string(kPartialEnd), in_use);
  return partial.cause() == Cause::invalid_argument ? partial : Status();
}

Status Output::check_apart(std::span<const std::string> paths) {
  std::set<std::string> taken;
  for (const std::string& path : paths) {
    if (path.empty() || path == "/dev/null") continue;
    if (!taken.insert(place_of(path)).second)
      return Status(Cause::invalid_argument, "is named for two things").with_file(path);
  }
  return {};
}

Result<Output> Output::open_for(const std::string& path, std::span<const std::string> in_use,
                                Owner owner) {
  if (path == "-") return standard();
  const Status refused = owner == Owner::alone ? check_alone(path, in_use) : check(path, in_use);
  if (refused.cause() == Cause::invalid_argument) return refused;
  struct stat info {};
  const bool is_there = stat(path.c_str(), &info) == 0;
  if (!is_there || S_ISREG(info.st_mode)) {
    if (Result<Output> output = open_beside(path, owner)) return output;
  }
  // A device, a pipe, or a folder in which nothing can be made.
  const int descriptor = open_until_ending(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0 && errno == EINTR)
    return Status(Cause::cancelled, "interrupted").with_file(path);
  if (descriptor < 0) {
    return Status(Cause::io, std::string("cannot be written: ") + std::strerror(errno))
        .with_file(path);
  }
  return Output(descriptor, path, true);
}

Result<Output> Output::open_beside(const std::string& path, Owner owner) {
  std::string target = path;
  if (char* const resolved = realpath(path.c_str(), nullptr)) {  // a link stays a link
    target = resolved;
    std::free(resolved);
  }
  std::string partial =
      target + std::string(kPartialEnd) + (owner == Owner::alone ? "" : "-XXXXXX");
  const bool was_writable = access(target.c_str(), W_OK) == 0 || errno == ENOENT;
  int descriptor = -1;
  if (was_writable && owner == Owner::alone) {
    unlink(partial.c_str());
    descriptor = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  } else if (was_writable) {
    descriptor = mkostemp(partial.data(), O_CLOEXEC);
  }
  if (descriptor < 0) return Status(Cause::io, "cannot be written").with_file(path);
  struct stat info {};
  const mode_t mask = umask(0);
  umask(mask);
  const bool is_there = stat(target.c_str(), &info) == 0;
  (void)fchmod(descriptor, is_there ? info.st_mode & 07777 : 0666 & ~mask);
  Output output(descriptor, path, true);
  output.partial_ = std::move(partial);
  output.target_ = std::move(target);
  return output;
}

Output Output::standard() { return Output(STDOUT_FILENO, "stdout", false); }

Output::Output(Output&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      name_(std::move(other.name_)),
      is_owned_(other.is_owned_),
      error_(other.error_),
      partial_(std::exchange(other.partial_, {})),
      target_(std::move(other.target_)) {}

Output::~Output() {
  if (is_owned_ && descriptor_ >= 0) close(descriptor_);
  give_up();
}

void Output::give_up() noexcept {
  if (!partial_.empty()) unlink(partial_.c_str());
  partial_.clear();
}

bool Output::write(std::string_view bytes) {
  while (error_ == 0 && !bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  return error_ == 0;
}

bool Output::has_lost_reader() const noexcept { return error_ == EPIPE; }

// The name is the disk's, too, once its folder is.
void Output::take_place() {
  if (rename(partial_.c_str(), target_.c_str()) != 0) {
    error_ = errno;
    return;
  }
  partial_.clear();
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // a folder that may be written and not read
  (void)!fsync(folder);    // file systems that cannot do that for a folder have no error to tell
  close(folder);
}

Status Output::finish() {
  if (!partial_.empty() && descriptor_ >= 0 && error_ == 0 && fsync(descriptor_) != 0) {
    error_ = errno;
  }
  if (is_owned_ && descriptor_ >= 0) {
    const int closed = close(std::exchange(descriptor_, -1));
    if (closed != 0 && error_ == 0) error_ = errno;
  }
  if (!partial_.empty() && error_ == 0) take_place();
  if (error_ != 0) give_up();
  if (error_ == 0 || error_ == EPIPE) return {};
  return Status(Cause::io, std::string("cannot be written: ") + std::strerror(error_))
      .with_file(name_);
}

}  // namespace larder::apps
