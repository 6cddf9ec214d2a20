#include "apps/job_input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "apps/signals.h"

namespace larder::apps {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 18;
// A signal that comes just before the wait begins is noticed so late.
constexpr int kWaitMs = 200;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Result<LineReader> LineReader::open(const std::string& path, size_t max_bytes) {
  const bool is_stdin = path == "-";
  const int descriptor = is_stdin ? STDIN_FILENO : open_until_ending(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && errno == EINTR)
    return Status(Cause::cancelled, "interrupted").with_file(path);
  struct stat info {};
  if (descriptor < 0 || fstat(descriptor, &info) != 0) {
    return Status(Cause::io, std::string("cannot be read: ") + std::strerror(errno))
        .with_file(path);
  }
  LineReader reader(descriptor, is_stdin ? "stdin" : path, max_bytes);
  if (S_ISDIR(info.st_mode)) {
    return Status(Cause::io, "is a folder; a file of lines is needed").with_file(reader.name_);
  }
  if (S_ISREG(info.st_mode)) reader.size_bytes_ = static_cast<uint64_t>(info.st_size);
  return reader;
}

LineReader::LineReader(int descriptor, std::string name, size_t max_bytes)
    : descriptor_(descriptor), name_(std::move(name)), max_bytes_(max_bytes) {}

LineReader::LineReader(LineReader&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      name_(std::move(other.name_)),
      max_bytes_(other.max_bytes_),
      size_bytes_(other.size_bytes_),
      buffer_(std::move(other.buffer_)),
      at_(other.at_),
      has_ended_(other.has_ended_),
      bytes_done_(other.bytes_done_),
      n_lines_(other.n_lines_),
      text_(std::move(other.text_)),
      hasher_(other.hasher_),
      line_bytes_(other.line_bytes_) {}

LineReader::~LineReader() {
  if (descriptor_ > STDIN_FILENO) close(descriptor_);
}

// Replaces the buffer, all of which has been handed out.
Result<LineReader::Found> LineReader::fill(bool waits) {
  at_ = 0;
  buffer_.clear();
  for (;;) {
    if (is_ending()) return Found::nothing_yet;
    if (is_stream()) {
      pollfd wait = {descriptor_, POLLIN, 0};
      const int n = poll(&wait, 1, waits ? kWaitMs : 0);
      if (n <= 0) {
        if (!waits) return Found::nothing_yet;
        continue;
      }
    }
    buffer_.resize(kPieceBytes);
    const ssize_t n = read(descriptor_, buffer_.data(), buffer_.size());
    buffer_.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (n > 0) return Found::line;
    if (n == 0) return Found::end;
    if (errno == EAGAIN || errno == EINTR) return Found::nothing_yet;
    return Status(Cause::io, std::string("cannot be read: ") + std::strerror(errno))
        .with_file(name_);
  }
}

void LineReader::add(std::string_view piece) {
  hasher_.add(piece);
  line_bytes_ += piece.size();
  // One byte more than allowed tells that there are too many.
  text_ += piece.substr(0, max_bytes_ + 1 - std::min(max_bytes_ + 1, text_.size()));
}

void LineReader::hand_out(InputLine& line) {
  line.number = ++n_lines_;
  line.is_too_long = line_bytes_ > max_bytes_;
  line.digest = std::exchange(hasher_, Hasher()).digest();
  line.text = std::exchange(text_, {});
  if (line.number == 1 && line.text.starts_with(kByteOrderMark)) {
    line.text.erase(0, kByteOrderMark.size());
  }
  if (line.text.ends_with('\r')) line.text.pop_back();
  line_bytes_ = 0;
}

Result<LineReader::Found> LineReader::next(InputLine& line, bool waits) {
  for (;;) {
    if (at_ == buffer_.size()) {
      const Result<Found> filled = has_ended_ ? Result<Found>(Found::end) : fill(waits);
      if (!filled || *filled == Found::nothing_yet) return filled;
      if (*filled == Found::end) {
        has_ended_ = true;
        if (line_bytes_ == 0) return Found::end;
        hand_out(line);
        return Found::line;
      }
    }
    const std::string_view rest = std::string_view(buffer_).substr(at_);
    const size_t end = rest.find('\n');
    add(rest.substr(0, end));
    if (end == std::string_view::npos) {
      at_ = buffer_.size();
      bytes_done_ += rest.size();
      continue;
    }
    at_ += end + 1;
    bytes_done_ += end + 1;
    hand_out(line);
    return Found::line;
  }
}

}  // namespace larder::apps
