// UTF-8 and the character classes that pre-tokenizers ask for (Unicode 16.0).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "formats/text/unicode_tables.h"

namespace larder::formats {

// `space` is what \s matches (25 code points); the others are general categories. Order: the
// tables.
enum class CharClass : uint8_t {
  other,
  space,
  number,
  mark,
  punctuation,
  symbol,
  upper,
  lower,
  title,
  modifier_letter,
  other_letter
};

// A set of classes as bits, for one-test membership.
using CharClassSet = uint16_t;
constexpr CharClassSet set_of(CharClass c) { return static_cast<CharClassSet>(1u << unsigned(c)); }
template <class... Rest>
constexpr CharClassSet set_of(CharClass c, Rest... rest) {
  return static_cast<CharClassSet>(set_of(c) | set_of(rest...));
}
constexpr bool contains(CharClassSet set, CharClass c) { return (set >> unsigned(c)) & 1u; }

inline constexpr CharClassSet kLetters =
    set_of(CharClass::upper, CharClass::lower, CharClass::title, CharClass::modifier_letter,
           CharClass::other_letter);

// Above every code point: what decode_utf8 answers for a byte that is no UTF-8, plus the byte.
inline constexpr uint32_t kMalformedByte = unicode_tables::kNCodePoints;

inline CharClass char_class(uint32_t code_point) noexcept {
  using namespace unicode_tables;
  if (code_point >= kNCodePoints) return CharClass::other;
  return CharClass{kClass[kClassBlock[code_point / kBlock] * kBlock + code_point % kBlock]};
}

struct DecodedChar {
  uint32_t code_point;
  uint32_t n_bytes;
};

// Well-formed UTF-8 only (no surrogates, no overlong forms, nothing above U+10FFFF); a byte that
// begins none is one malformed "character" of class `other`. REQUIRES: at < text.size().
DecodedChar decode_multibyte(std::string_view text, size_t at) noexcept;
inline DecodedChar decode_utf8(std::string_view text, size_t at) noexcept {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {byte, 1};
  return decode_multibyte(text, at);
}

// Malformed bytes (kMalformedByte + byte) are appended as they are.
void append_utf8(std::string& out, uint32_t code_point);

// The length of the longest prefix that does not end inside a UTF-8 character: at most 3 bytes less
// than text.size().
size_t complete_utf8_prefix(std::string_view text) noexcept;

}  // namespace larder::formats
