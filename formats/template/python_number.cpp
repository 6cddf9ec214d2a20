// int() and float() of text.
#include <charconv>
#include <cmath>
#include <limits>

#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

std::string_view strip_spaces(std::string_view text) {
  while (!text.empty() && is_space(decode_utf8(text, 0).code_point)) {
    text.remove_prefix(decode_utf8(text, 0).n_bytes);
  }
  while (!text.empty()) {
    const size_t last = code_point_begin(text, text.size());
    if (!is_space(decode_utf8(text, last).code_point)) break;
    text = text.substr(0, last);
  }
  return text;
}

// Digits may be parted by single underscores; false where one stands elsewhere.
bool drop_underscores(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const auto is_word = [](char c) {
      return std::string_view("+-._").find(c) == std::string_view::npos;
    };
    if (i == 0 || i + 1 == text.size() || !is_word(text[i - 1]) || !is_word(text[i + 1]))
      return false;
  }
  return true;
}

char lowered(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

int base_of_prefix(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  const char letter = lowered(text[1]);
  return letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
}

bool is_word(std::string_view text, std::string_view word) {
  if (text.size() != word.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (lowered(text[i]) != word[i]) return false;
  }
  return true;
}

}  // namespace

bool parse_integer(std::string_view text, int base, int64_t& value) {
  text = strip_spaces(text);
  const bool is_negative = !text.empty() && text[0] == '-';
  if (is_negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  const int prefix_base = base_of_prefix(text);
  const bool has_prefix = prefix_base != 0 && (base == 0 || base == prefix_base);
  if (has_prefix) {
    text.remove_prefix(2);
    base = prefix_base;
    if (!text.empty() && text[0] == '_') text.remove_prefix(1);
  }
  std::string digits = is_negative ? "-" : "";
  if (text.empty() || text[0] == '-' || text[0] == '+' || !drop_underscores(text, digits))
    return false;
  // Without a base, "0" is decimal but "010" is nothing.
  if (base == 0) {
    if (text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos) return false;
    base = 10;
  }
  const char* const end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value, base);
  if (result.ptr != end) return false;
  if (result.ec == std::errc::result_out_of_range) fail("an integer beyond 64 bits");
  return result.ec == std::errc();
}

bool parse_real(std::string_view text, double& value) {
  text = strip_spaces(text);
  const bool is_negative = !text.empty() && text[0] == '-';
  if (is_negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  const double sign = is_negative ? -1 : 1;
  if (is_word(text, "inf") || is_word(text, "infinity")) {
    value = sign * std::numeric_limits<double>::infinity();
    return true;
  }
  if (is_word(text, "nan")) {
    value = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  std::string digits;
  if (text.find_first_not_of("0123456789_.eE+-") != std::string_view::npos || text.empty() ||
      text[0] == '-' || text[0] == '+' || !drop_underscores(text, digits)) {
    return false;
  }
  const char* const end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value);
  if (result.ptr != end) return false;
  if (result.ec == std::errc::result_out_of_range) {
    // from_chars does not say which way: a negative exponent means too small.
    const bool is_tiny = digits.find("e-") != std::string::npos ||
                         digits.find("E-") != std::string::npos ||
                         digits.find_first_of("123456789") > digits.find('.');
    value = is_tiny ? 0 : std::numeric_limits<double>::infinity();
  } else if (result.ec != std::errc()) {
    return false;
  }
  value *= sign;
  return true;
}

}  // namespace larder::formats::jinja
