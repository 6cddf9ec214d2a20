// How a journal's records lie in its file: length, checksum, payload. Values are written as they
// are in memory, little endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace larder::apps {

inline constexpr size_t kFrameBytes = 8;  // length and checksum
// Longest payload. A length beyond it is damage.
inline constexpr uint32_t kMaxJournalPayload = uint32_t{256} << 20;

struct JournalFrame {
  uint32_t length = 0;    // of the payload
  uint32_t checksum = 0;  // CRC-32C of length and payload
};
static_assert(sizeof(JournalFrame) == kFrameBytes, "written as it is");

template <class T>
void append_raw(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T read_raw(const char* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

JournalFrame frame_of(std::string_view payload) noexcept;
void append_record(std::string& bytes, std::string_view payload);

}  // namespace larder::apps
