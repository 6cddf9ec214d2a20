#include "apps/journal_frame.h"

#include <array>

namespace larder::apps {
namespace {

// Castagnoli's polynomial, bits reversed. Source: RFC 3720, appendix B.4.
constexpr uint32_t kPolynomial = 0x82F63B78;

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

uint32_t crc32c(uint32_t crc, std::string_view bytes) noexcept {
  crc = ~crc;
  for (const char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  return ~crc;
}

}  // namespace

JournalFrame frame_of(std::string_view payload) noexcept {
  JournalFrame frame = {static_cast<uint32_t>(payload.size()), 0};
  const char* const raw = reinterpret_cast<const char*>(&frame.length);
  frame.checksum = crc32c(crc32c(0, {raw, sizeof frame.length}), payload);
  return frame;
}

void append_record(std::string& bytes, std::string_view payload) {
  append_raw(bytes, frame_of(payload));
  bytes += payload;
}

}  // namespace larder::apps
