#include "formats/template/jinja_literal.h"

#include <algorithm>
#include <charconv>

#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

// The length of digits of `base`, single underscores between them allowed; 0 if there are none.
size_t digits_length(std::string_view text, int base) {
  size_t n = 0;
  while (n < text.size()) {
    if (digit_value(text[n]) < base) {
      ++n;
    } else if (n > 0 && text[n] == '_' && n + 1 < text.size() && digit_value(text[n + 1]) < base) {
      n += 2;
    } else {
      break;
    }
  }
  return n;
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  out.erase(std::remove(out.begin(), out.end(), '_'), out.end());
  return out;
}

// The length of digits[.digits][e[+-]digits] where a fraction or an exponent exists, else 0.
size_t real_length(std::string_view source) {
  size_t n = digits_length(source, 10);
  bool is_real = false;
  if (n < source.size() && source[n] == '.') {
    const size_t fraction = digits_length(source.substr(n + 1), 10);
    if (fraction > 0) {
      n += 1 + fraction;
      is_real = true;
    }
  }
  if (n < source.size() && (source[n] == 'e' || source[n] == 'E')) {
    size_t sign = n + 1 < source.size() && (source[n + 1] == '+' || source[n + 1] == '-') ? 1 : 0;
    const size_t exponent = digits_length(source.substr(std::min(source.size(), n + 1 + sign)), 10);
    if (exponent > 0) return n + 1 + sign + exponent;
  }
  return is_real ? n : 0;
}

void read_integer(std::string_view source, NumberLiteral& number) {
  int base = 10;
  size_t prefix = 0;
  if (source.size() > 2 && source[0] == '0') {
    const char letter = static_cast<char>(source[1] | 0x20);
    const int candidate = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    const size_t gap = candidate != 0 && source[2] == '_' ? 1 : 0;
    if (candidate != 0 && digits_length(source.substr(2 + gap), candidate) > 0) {
      base = candidate;
      prefix = 2 + gap;
    }
  }
  // "012" is two numbers to Jinja's lexer: zero, then 12.
  const bool is_zero = base == 10 && source[0] == '0';
  size_t n = digits_length(source.substr(prefix), base);
  if (is_zero) {
    n = 1;
    while (n < source.size() && source[n] == '0') ++n;
  }
  const std::string digits = without_underscores(source.substr(prefix, n));
  const auto result =
      std::from_chars(digits.data(), digits.data() + digits.size(), number.integer, base);
  if (result.ec != std::errc()) number.error = "an integer beyond 64 bits";
  number.n_bytes = prefix + n;
}

bool read_hex(std::string_view text, size_t n_digits, uint32_t& code_point) {
  if (text.size() < n_digits) return false;
  const auto result = std::from_chars(text.data(), text.data() + n_digits, code_point, 16);
  return result.ec == std::errc() && result.ptr == text.data() + n_digits;
}

std::string_view simple_escape(char c) {
  switch (c) {
    case '\n':
      return "";
    case '\\':
      return "\\";
    case '\'':
      return "'";
    case '"':
      return "\"";
    case 'a':
      return "\a";
    case 'b':
      return "\b";
    case 'f':
      return "\f";
    case 'n':
      return "\n";
    case 'r':
      return "\r";
    case 't':
      return "\t";
    case 'v':
      return "\v";
    default:
      return "?";
  }
}

// Appends what the escape behind a backslash means; returns its length, 0 for none.
size_t append_escape(std::string_view text, std::string& out, std::string& error) {
  const char c = text[0];
  const std::string_view simple = simple_escape(c);
  if (simple != "?") {
    out += simple;
    return 1;
  }
  if (c >= '0' && c <= '7') {
    size_t n = 0;
    uint32_t code_point = 0;
    for (; n < 3 && n < text.size() && text[n] >= '0' && text[n] <= '7'; ++n) {
      code_point = code_point * 8 + static_cast<uint32_t>(text[n] - '0');
    }
    append_utf8(out, code_point);
    return n;
  }
  const size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (n_digits == 0) {
    if (c == 'N') error = "escapes by character name are not supported";
    return 0;
  }
  uint32_t code_point = 0;
  const bool is_read = read_hex(text.substr(1), n_digits, code_point);
  if (!is_read || code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff)) {
    error = "a \\" + std::string(1, c) + " escape that names no character";
    return 0;
  }
  append_utf8(out, code_point);
  return 1 + n_digits;
}

}  // namespace

NumberLiteral read_number(std::string_view source, bool may_be_real) {
  NumberLiteral number;
  const size_t n_real = may_be_real ? real_length(source) : 0;
  if (n_real == 0) {
    read_integer(source, number);
    return number;
  }
  const std::string digits = without_underscores(source.substr(0, n_real));
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), number.real);
  if (result.ec == std::errc::result_out_of_range)
    number.error = "a number beyond double precision";
  number.is_real = true;
  number.n_bytes = n_real;
  return number;
}

std::string unescape(std::string_view text, std::string& error) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const size_t n = append_escape(text.substr(i + 1), out, error);
    if (!error.empty()) return {};
    if (n == 0) out += '\\';
    i += n;
  }
  return out;
}

}  // namespace larder::formats::jinja
