#include "formats/sentencepiece/protobuf_reader.h"

namespace larder::formats {
namespace {

constexpr uint64_t kMaxFieldNumber = (uint64_t{1} << 29) - 1;  // Source: the encoding guide

}  // namespace

bool ProtobufReader::read_varint(uint64_t& value) noexcept {
  value = 0;
  for (int shift = 0; shift < 64 && !left_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    if (shift == 63 && byte > 1) return false;  // more than 64 bits
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool ProtobufReader::read_fixed(int n_bytes, uint64_t& value) noexcept {
  if (left_.size() < static_cast<size_t>(n_bytes)) return false;
  value = 0;
  for (int i = 0; i < n_bytes; ++i)
    value |= uint64_t{static_cast<uint8_t>(left_[static_cast<size_t>(i)])} << (8 * i);
  left_.remove_prefix(static_cast<size_t>(n_bytes));
  return true;
}

bool ProtobufReader::read_bytes(std::string_view& bytes) noexcept {
  uint64_t n = 0;
  if (!read_varint(n) || n > left_.size()) return false;
  bytes = left_.substr(0, n);
  left_.remove_prefix(n);
  return true;
}

bool ProtobufReader::next(ProtobufField& field) noexcept {
  if (is_malformed_ || left_.empty()) return false;
  uint64_t key = 0;
  bool is_read = read_varint(key);
  const uint64_t number = key >> 3;
  is_read = is_read && number > 0 && number <= kMaxFieldNumber;
  field = {};
  field.number = static_cast<uint32_t>(number);
  field.type = static_cast<WireType>(key & 7);
  if (is_read) {
    switch (field.type) {
      case WireType::varint:
        is_read = read_varint(field.value);
        break;
      case WireType::fixed64:
        is_read = read_fixed(8, field.value);
        break;
      case WireType::bytes:
        is_read = read_bytes(field.bytes);
        break;
      case WireType::fixed32:
        is_read = read_fixed(4, field.value);
        break;
      default:
        is_read = false;
    }
  }
  is_malformed_ = !is_read;
  return is_read;
}

}  // namespace larder::formats
