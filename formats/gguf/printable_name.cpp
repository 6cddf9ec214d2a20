#include "formats/gguf/printable_name.h"

#include <cstdint>

#include "formats/text/unicode.h"

namespace larder::formats {
namespace {

constexpr size_t kMaxShownBytes = 96;

}  // namespace

std::string printable_name(std::string_view name) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string shown;
  for (const char c : name.substr(0, kMaxShownBytes)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      shown += c;
    } else {
      shown += "\\x";
      shown += kHex[byte >> 4];
      shown += kHex[byte & 15];
    }
  }
  if (name.size() > kMaxShownBytes) {
    shown += "... (" + std::to_string(name.size()) + " bytes)";
  }
  return shown;
}

std::string key_subject(std::string_view key) { return "key " + printable_name(key); }

std::string tensor_subject(std::string_view name) { return "tensor " + printable_name(name); }

bool is_utf8(std::string_view text) noexcept {
  for (size_t at = 0; at < text.size();) {
    const DecodedChar character = decode_utf8(text, at);
    if (character.code_point >= kMalformedByte) return false;
    at += character.n_bytes;
  }
  return true;
}

}  // namespace larder::formats
