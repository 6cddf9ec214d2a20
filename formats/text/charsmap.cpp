#include "formats/text/charsmap.h"

#include <algorithm>

#include "formats/text/tokenizer_metadata.h"
#include "formats/text/unicode.h"

namespace larder::formats {

namespace {

constexpr size_t kUnitBytes = 4;
constexpr std::string_view kReplacementCharacter = "\uFFFD";

uint32_t little_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = kUnitBytes; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

// Layout of a unit. Source: the double arrays of darts-clone.
constexpr uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }
constexpr uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xFF); }
constexpr bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
constexpr uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFF; }

Status malformed(std::string message) {
  return TokenizerMetadata::error(tokenizer_keys::kCharsmap, std::move(message));
}

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view blob) {
  if (blob.size() < kUnitBytes) return malformed("shorter than its size field");
  const uint32_t n_array_bytes = little_endian(blob);
  blob.remove_prefix(kUnitBytes);
  if (n_array_bytes > blob.size()) return malformed("its array is larger than the map");
  if (n_array_bytes == 0 || n_array_bytes % kUnitBytes != 0) {
    return malformed("its array is no whole number of units");
  }
  Charsmap map;
  map.units_.reserve(n_array_bytes / kUnitBytes);
  for (size_t at = 0; at < n_array_bytes; at += kUnitBytes) {
    map.units_.push_back(little_endian(blob.substr(at, kUnitBytes)));
  }
  map.replacements_ = blob.substr(n_array_bytes);
  if (map.replacements_.empty() || map.replacements_.back() != '\0') {
    return malformed("its last replacement is not terminated");
  }
  return map;
}

Charsmap::Replacement Charsmap::replace_front(std::string_view text) const noexcept {
  size_t n_matched = 0;
  uint32_t value = 0;
  if (!units_.empty()) {
    size_t at = offset_of(units_[0]);
    for (size_t i = 0; i < std::min(text.size(), kMaxKeyBytes); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      at ^= byte;
      if (at >= units_.size() || label_of(units_[at]) != byte) break;
      const uint32_t unit = units_[at];
      at ^= offset_of(unit);
      if (has_value(unit) && at < units_.size() && value_of(units_[at]) < replacements_.size()) {
        n_matched = i + 1;
        value = value_of(units_[at]);
      }
    }
  }
  if (n_matched > 0) {
    const size_t end = replacements_.find('\0', value);
    return {std::string_view(replacements_).substr(value, end - value), n_matched};
  }
  const DecodedChar c = decode_utf8(text, 0);
  if (c.code_point >= kMalformedByte) return {kReplacementCharacter, 1};
  return {text.substr(0, c.n_bytes), c.n_bytes};
}

}  // namespace larder::formats
