// The lines of a job's input, as a stream: of the file, one piece is in memory at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "apps/digest.h"
#include "formats/status.h"

namespace larder::apps {

struct InputLine {
  int64_t number = 0;        // from 1
  std::string text;          // without its end, LF or CR LF, and without a byte order mark
  Digest digest{};           // of all its bytes but the LF
  bool is_too_long = false;  // `text` is its beginning
};

class LineReader {
 public:
  enum class Found : uint8_t { line, end, nothing_yet };

  // "-" is stdin. Lines longer than max_bytes are passed over. Error `io`.
  static Result<LineReader> open(const std::string& path, size_t max_bytes);
  LineReader(LineReader&& other) noexcept;
  LineReader& operator=(LineReader&&) = delete;
  ~LineReader();

  // The next line. Where none has come yet: waits for one, or for a signal, if `waits`; else says
  // so at once. Error `io`.
  Result<Found> next(InputLine& line, bool waits);

  uint64_t bytes_done() const noexcept { return bytes_done_; }  // of the lines handed out
  std::optional<uint64_t> size_bytes() const noexcept { return size_bytes_; }  // of a regular file
  bool is_stream() const noexcept { return !size_bytes_; }

 private:
  LineReader(int descriptor, std::string name, size_t max_bytes);
  Result<Found> fill(bool waits);
  void add(std::string_view piece);
  void hand_out(InputLine& line);

  int descriptor_;
  std::string name_;
  size_t max_bytes_;
  std::optional<uint64_t> size_bytes_;
  std::string buffer_;
  size_t at_ = 0;  // in the buffer; what is before it has been handed out
  bool has_ended_ = false;
  uint64_t bytes_done_ = 0;
  int64_t n_lines_ = 0;
  // the line that is being read
  std::string text_;
  Hasher hasher_;
  uint64_t line_bytes_ = 0;
};

}  // namespace larder::apps
