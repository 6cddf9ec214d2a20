#include "formats/gguf/byte_reader.h"

#include <cassert>

namespace larder::formats {

bool ByteReader::read_length(uint64_t& length) {
  if (!read(length)) return false;
  if (length <= left()) return true;
  failure_ =
      Status(Cause::truncated, "announces " + std::to_string(length) + " bytes, the file has " +
                                   std::to_string(left()) + " left");
  offset_ -= sizeof(length);
  return false;
}

bool ByteReader::read_text(uint64_t length, std::string_view& out) {
  const uint64_t begin = offset_;
  if (!skip(length)) return false;
  out = {reinterpret_cast<const char*>(bytes_.available().data()) + begin,
         static_cast<size_t>(length)};
  return true;
}

bool ByteReader::skip(uint64_t length) {
  if (!need(length)) return false;
  offset_ += length;
  return true;
}

bool ByteReader::fetch(uint64_t length) {
  if (length > left()) {
    failure_ =
        Status(Cause::truncated, "the file ends where " + std::to_string(length) +
                                     " more bytes are expected, it has " + std::to_string(left()));
    return false;
  }
  failure_ = bytes_.grow(offset_ + length);
  return failure_.ok();
}

Status ByteReader::failure(std::string subject) const {
  assert(!failure_.ok());
  return Status(failure_.cause(), failure_.detail().message, std::move(subject), offset_);
}

}  // namespace larder::formats
