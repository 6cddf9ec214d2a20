#include "formats/template/python_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "formats/template/jinja_operators.h"
#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

constexpr int64_t kMaxPrecision = 100'000;  // more decimals than any double has

void make_upper(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
}

int base_of(char type) {
  return type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
}

// Separators every three digits of the integer part (four for other bases than ten).
void group_digits(std::string& digits, char separator, size_t group) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  for (size_t at = whole; at > group;) {
    at -= group;
    digits.insert(at, 1, separator);
  }
}

std::string print_real(double value, std::chars_format format, int64_t precision) {
  std::string buffer(static_cast<size_t>(precision) + 400, '\0');
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format,
                                 static_cast<int>(precision));
  buffer.resize(static_cast<size_t>(end.ptr - buffer.data()));
  return buffer;
}

}  // namespace

NumberText integer_text(int64_t value, const FormatSpec& spec) {
  NumberText text;
  text.is_negative = value < 0;
  const int base = base_of(spec.type);
  char buffer[72];
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, magnitude, base);
  text.digits.assign(buffer, end.ptr);
  if (spec.is_alternate && base != 10) text.prefix = {'0', spec.type};
  if (spec.type == 'X') make_upper(text.digits);
  if (spec.grouping != 0) group_digits(text.digits, spec.grouping, base == 10 ? 3 : 4);
  return text;
}

NumberText real_text(double value, const FormatSpec& spec) {
  NumberText text;
  text.is_negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::fabs(value);
  const char type = static_cast<char>(spec.type | 0x20);
  if (!std::isfinite(value)) {
    text.digits = std::isnan(value) ? "nan" : "inf";
    if (spec.type == '%') text.digits += '%';
  } else if (spec.type == 0 && spec.precision < 0) {
    text.digits = format_real(magnitude);
  } else {
    const int64_t precision = spec.precision < 0 ? 6 : spec.precision;
    if (precision > kMaxPrecision) fail_limit("a precision beyond any number's digits");
    if (type == 'f') {
      text.digits = print_real(magnitude, std::chars_format::fixed, precision);
    } else if (spec.type == '%') {
      text.digits = print_real(magnitude * 100, std::chars_format::fixed, precision) + "%";
    } else if (type == 'e') {
      text.digits = print_real(magnitude, std::chars_format::scientific, precision);
    } else {
      text.digits =
          print_real(magnitude, std::chars_format::general, std::max<int64_t>(precision, 1));
      const bool is_whole = text.digits.find_first_of(".e") == std::string::npos;
      if (spec.type == 0 && is_whole) text.digits += ".0";
    }
  }
  if (spec.type == 'E' || spec.type == 'F' || spec.type == 'G') make_upper(text.digits);
  if (spec.grouping != 0) group_digits(text.digits, spec.grouping, 3);
  return text;
}

namespace {

std::string_view sign_of(const NumberText& text, char sign) {
  if (text.is_negative) return "-";
  return sign == '+' ? "+" : sign == ' ' ? " " : "";
}

}  // namespace

void append_padded(TextBuilder& out, const Value& body, const FormatSpec& spec, char default_align,
                   bool is_input) {
  const size_t size = count_code_points(body.bytes());
  const size_t total =
      spec.width > static_cast<int64_t>(size) ? static_cast<size_t>(spec.width) - size : 0;
  const char align = spec.align == 0 ? default_align : spec.align;
  const size_t left = align == '<' ? 0 : align == '^' ? total / 2 : total;
  out.fill(spec.fill, left, is_input);
  if (is_input) {
    out.append(body.bytes(), true);
  } else {
    out.append(body);
  }
  out.fill(spec.fill, total - left, is_input);
}

void append_number(TextBuilder& out, Budget& budget, const NumberText& text, FormatSpec spec,
                   bool is_input) {
  const std::string head = joined(sign_of(text, spec.sign), text.prefix);
  if (spec.has_zero && spec.align == 0) {
    spec.align = '=';
    spec.fill.assign(1, '0');
  }
  if (spec.align != '=') {
    append_padded(out, make_string(budget, joined(head, text.digits)), spec, '>', is_input);
    return;
  }
  out.append(head, is_input);
  const size_t size = head.size() + text.digits.size();
  const size_t n =
      spec.width > static_cast<int64_t>(size) ? static_cast<size_t>(spec.width) - size : 0;
  out.fill(spec.fill, n, is_input);
  out.append(text.digits, is_input);
}

// A field of str.format by its spec.
void append_formatted(TextBuilder& out, Budget& budget, const Value& value, const FormatSpec& spec,
                      bool is_input) {
  const bool is_real_type =
      spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  const bool is_integer_type =
      spec.type != 0 && std::string_view("dboxXc").find(spec.type) != std::string_view::npos;
  if (value.is_string()) {
    if ((spec.type != 0 && spec.type != 's') || spec.align == '=')
      fail("unknown format code for a string");
    const Value text =
        spec.precision < 0 ? value : slice(budget, value, {}, Value::integer(spec.precision), {});
    FormatSpec padding = spec;
    if (spec.has_zero && spec.align == 0) padding.fill.assign(1, '0');
    return append_padded(out, text, padding, '<', is_input);
  }
  if (!value.is_number()) fail("unsupported format string for " + std::string(type_name(value)));
  if (spec.type == 'c') {
    const int64_t code_point = require_integer(value, "the character");
    if (code_point < 0 || code_point > 0x10ffff) fail("a character beyond Unicode");
    std::string text;
    append_utf8(text, static_cast<uint32_t>(code_point));
    return append_padded(out, make_string(budget, text, true), spec, '>', is_input);
  }
  if (value.is(Kind::real) || is_real_type) {
    if (is_integer_type || spec.type == 's') fail("unknown format code for a float");
    return append_number(out, budget, real_text(value.as_real(), spec), spec, is_input);
  }
  if (spec.type != 0 && !is_integer_type && spec.type != 'n')
    fail("unknown format code for an int");
  if (spec.precision >= 0) fail("precision not allowed in integer format");
  append_number(out, budget, integer_text(value.as_integer(), spec), spec, is_input);
}

int64_t read_number(std::string_view text, size_t& at) {
  int64_t number = -1;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = std::min(kMaxNumber, std::max<int64_t>(number, 0) * 10 + (text[at++] - '0'));
  }
  return number;
}

FormatSpec parse_spec(std::string_view text) {
  FormatSpec spec;
  size_t at = 0;
  const auto is_align = [&](size_t i) {
    return i < text.size() && std::string_view("<>^=").find(text[i]) != std::string_view::npos;
  };
  if (!text.empty()) {
    const size_t n_bytes = decode_utf8(text, 0).n_bytes;
    if (is_align(n_bytes)) {
      spec.fill = text.substr(0, n_bytes);
      spec.align = text[n_bytes];
      at = n_bytes + 1;
    } else if (is_align(0)) {
      spec.align = text[at++];
    }
  }
  const auto take = [&](std::string_view set) {
    return at < text.size() && set.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.is_alternate = take("#") != 0;
  spec.has_zero = take("0") != 0;
  spec.width = std::max<int64_t>(0, read_number(text, at));
  spec.grouping = take(",_");
  if (take(".") != 0) {
    spec.precision = read_number(text, at);
    if (spec.precision < 0) fail("format specifier missing precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) fail("invalid format specifier");
  return spec;
}

}  // namespace larder::formats::jinja
