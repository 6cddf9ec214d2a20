#include "formats/text/unicode.h"

namespace larder::formats {

namespace {

struct LeadByte {
  uint32_t n_bytes = 0;  // 0: begins no character
  uint32_t bits = 0;
  unsigned char second_low = 0x80, second_high = 0xBF;  // excludes overlong forms and surrogates
};

// Source: Unicode 16.0, table 3-7, well-formed UTF-8 byte sequences.
constexpr LeadByte lead_byte(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, byte & 0x1Fu};
  if (byte == 0xE0) return {3, 0, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0xD, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, byte & 0xFu};
  if (byte == 0xF0) return {4, 0, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, byte & 7u};
  if (byte == 0xF4) return {4, 4, 0x80, 0x8F};
  return {};
}

constexpr bool continues(const LeadByte& lead, uint32_t index, unsigned char byte) {
  if (index == 1) return byte >= lead.second_low && byte <= lead.second_high;
  return byte >= 0x80 && byte <= 0xBF;
}

}  // namespace

DecodedChar decode_multibyte(std::string_view text, size_t at) noexcept {
  const auto first = static_cast<unsigned char>(text[at]);
  const LeadByte lead = lead_byte(first);
  if (lead.n_bytes == 0 || lead.n_bytes > text.size() - at) return {kMalformedByte + first, 1};
  uint32_t code_point = lead.bits;
  for (uint32_t i = 1; i < lead.n_bytes; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + i]);
    if (!continues(lead, i, byte)) return {kMalformedByte + first, 1};
    code_point = code_point << 6 | (byte & 0x3Fu);
  }
  return {code_point, lead.n_bytes};
}

void append_utf8(std::string& out, uint32_t c) {
  const auto push = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c >= kMalformedByte) return push(c - kMalformedByte);
  if (c < 0x80) return push(c);
  if (c < 0x800) {
    push(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      push(0xE0 | c >> 12);
    } else {
      push(0xF0 | c >> 18);
      push(0x80 | (c >> 12 & 0x3F));
    }
    push(0x80 | (c >> 6 & 0x3F));
  }
  push(0x80 | (c & 0x3F));
}

size_t complete_utf8_prefix(std::string_view text) noexcept {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    const LeadByte lead = lead_byte(static_cast<unsigned char>(text[at]));
    if (lead.n_bytes == 0) continue;
    if (lead.n_bytes <= back) return text.size();
    for (uint32_t i = 1; i < back; ++i) {
      if (!continues(lead, i, static_cast<unsigned char>(text[at + i]))) return text.size();
    }
    return at;
  }
  return text.size();
}

}  // namespace larder::formats
