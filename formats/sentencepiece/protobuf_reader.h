// The wire format of protocol buffers: numbered fields, one behind the other. Source: the encoding
// guide of Protocol Buffers.
#pragma once

#include <cstdint>
#include <string_view>

namespace larder::formats {

enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct ProtobufField {
  uint32_t number = 0;
  WireType type = WireType::varint;
  uint64_t value = 0;      // of varint, fixed64 and fixed32
  std::string_view bytes;  // of bytes
};

class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) noexcept : left_(message) {}

  // False at the end, and where the message is malformed. Groups, which are deprecated, are.
  bool next(ProtobufField& field) noexcept;
  bool is_malformed() const noexcept { return is_malformed_; }
  // The first byte not read. REQUIRES: `message` is what the reader was made for.
  uint64_t offset(std::string_view message) const noexcept { return message.size() - left_.size(); }

 private:
  bool read_varint(uint64_t& value) noexcept;
  bool read_fixed(int n_bytes, uint64_t& value) noexcept;
  bool read_bytes(std::string_view& bytes) noexcept;

  std::string_view left_;
  bool is_malformed_ = false;
};

}  // namespace larder::formats
