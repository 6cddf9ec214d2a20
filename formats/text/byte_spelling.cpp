#include "formats/text/byte_spelling.h"

#include <array>

#include "formats/text/unicode.h"

namespace larder::formats {

namespace {

// Printable Latin-1 bytes stand for themselves; the 68 others, ascending, are U+0100 and on.
// Source: GPT-2's byte encoder.
struct Spelling {
  static constexpr uint32_t kFirstOther = 0x100, kNOther = 68;
  std::array<uint16_t, 256> code_point = {};
  std::array<int16_t, kFirstOther + kNOther> byte = {};  // -1: spells none

  constexpr Spelling() {
    for (auto& b : byte) b = -1;
    uint32_t next_other = kFirstOther;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool is_printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const uint32_t c = is_printable ? b : next_other++;
      code_point[b] = static_cast<uint16_t>(c);
      byte[c] = static_cast<int16_t>(b);
    }
  }
};
constexpr Spelling kSpelling;

}  // namespace

void append_spelled(std::string& out, unsigned char byte) {
  append_utf8(out, kSpelling.code_point[byte]);
}

std::string spelled(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_spelled(out, static_cast<unsigned char>(byte));
  return out;
}

void append_unspelled(std::string& out, std::string_view text) {
  const size_t n_before = out.size();
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text, at);
    if (c.code_point >= kSpelling.byte.size() || kSpelling.byte[c.code_point] < 0) {
      out.resize(n_before);
      out += text;
      return;
    }
    out.push_back(static_cast<char>(kSpelling.byte[c.code_point]));
    at += c.n_bytes;
  }
}

}  // namespace larder::formats
