#include "formats/gguf/printable_name.h"

#include <algorithm>
#include <cstdint>

namespace larder::formats {
namespace {

constexpr size_t kMaxShownBytes = 96;

// Bytes of the valid sequence at the front of `text`; 0 if there is none.
size_t sequence_bytes(std::string_view text) noexcept {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto continues = [&](size_t i, int low = 0x80, int high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const int lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const int low = lead == 0xe0 ? 0xa0 : 0x80;   // not overlong
    const int high = lead == 0xed ? 0x9f : 0xbf;  // no surrogates
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const int low = lead == 0xf0 ? 0x90 : 0x80;   // not overlong
    const int high = lead == 0xf4 ? 0x8f : 0xbf;  // at most U+10FFFF
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

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
  while (!text.empty()) {
    const size_t n = sequence_bytes(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

}  // namespace larder::formats
