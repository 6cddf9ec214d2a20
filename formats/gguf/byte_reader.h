// A cursor over a header: little-endian numbers and length-prefixed strings, each checked against
// the end of the file before it is read.
//
// Reads return false when they fail; failure() then says why.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "formats/gguf/header_bytes.h"
#include "formats/status.h"

namespace larder::formats {

static_assert(std::endian::native == std::endian::little, "the readers copy little-endian numbers");

class ByteReader {
 public:
  explicit ByteReader(HeaderBytes& bytes) noexcept : bytes_(bytes) {}

  uint64_t offset() const noexcept { return offset_; }
  uint64_t left() const noexcept { return bytes_.file_bytes() - offset_; }  // in the file
  // What was read since `begin`. Stays valid as long as the header.
  std::span<const std::byte> since(uint64_t begin) const noexcept {
    return bytes_.available().subspan(begin, offset_ - begin);
  }

  template <class T>
  bool read(T& out) {
    static_assert(std::is_arithmetic_v<T>);
    if (!need(sizeof(T))) return false;
    std::memcpy(&out, bytes_.available().data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return true;
  }

  // A u64 that announces so many bytes, of which all must be left in the file.
  bool read_length(uint64_t& length);
  // REQUIRES: length was read by read_length, or is at most left()
  bool read_text(uint64_t length, std::string_view& out);
  bool skip(uint64_t length);

  // REQUIRES: a read returned false
  Status failure(std::string subject) const;

 private:
  bool need(uint64_t length) {
    return length <= bytes_.available().size() - offset_ || fetch(length);
  }
  bool fetch(uint64_t length);

  HeaderBytes& bytes_;
  uint64_t offset_ = 0;
  Status failure_;
};

}  // namespace larder::formats
