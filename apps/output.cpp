#include "apps/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace larder::apps {

namespace {

bool is_same_regular_file(const std::string& a, const std::string& b) {
  struct stat of_a {
  }, of_b{};
  return stat(a.c_str(), &of_a) == 0 && stat(b.c_str(), &of_b) == 0 && S_ISREG(of_a.st_mode) &&
         of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

}  // namespace

Result<Output> Output::open(const std::string& path, std::span<const std::string> in_use) {
  if (path == "-") return standard();
  for (const std::string& used : in_use) {
    if (is_same_regular_file(path, used)) {
      return Status(Cause::invalid_argument, "cannot be written: this run uses the file already")
          .with_file(path);
    }
  }
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    return Status(Cause::io, std::string("cannot be written: ") + std::strerror(errno))
        .with_file(path);
  }
  return Output(descriptor, path, true);
}

Output Output::standard() { return Output(STDOUT_FILENO, "stdout", false); }

Output::Output(Output&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      name_(std::move(other.name_)),
      is_owned_(other.is_owned_),
      error_(other.error_) {}

Output::~Output() {
  if (is_owned_ && descriptor_ >= 0) close(descriptor_);
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

Status Output::finish() {
  if (is_owned_ && descriptor_ >= 0) {
    const int closed = close(std::exchange(descriptor_, -1));
    if (closed != 0 && error_ == 0) error_ = errno;
  }
  if (error_ == 0 || error_ == EPIPE) return {};
  return Status(Cause::io, std::string("cannot be written: ") + std::strerror(error_))
      .with_file(name_);
}

}  // namespace larder::apps
