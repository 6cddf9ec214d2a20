#include "formats/template/python_str.h"

#include <charconv>
#include <cmath>

#include "formats/template/jinja_callable.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

std::string code_point_escape(uint32_t code_point) {
  const int n_digits = code_point < 0x100 ? 2 : code_point < 0x10000 ? 4 : 8;
  std::string text = n_digits == 2 ? "\\x" : n_digits == 4 ? "\\u" : "\\U";
  for (int shift = 4 * (n_digits - 1); shift >= 0; shift -= 4) {
    text += kHexDigits[(code_point >> shift) & 15];
  }
  return text;
}

// "" where the character stands for itself.
std::string repr_escape(uint32_t code_point, char quote) {
  switch (code_point) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (code_point == static_cast<unsigned char>(quote)) return {'\\', quote};
  // Python's surrogateescape: byte 0xff of text that is no UTF-8 shows as \udcff.
  if (code_point >= kMalformedByte) return code_point_escape(0xdc00 + code_point - kMalformedByte);
  return is_printable(code_point) ? std::string() : code_point_escape(code_point);
}

void append_string_repr(TextBuilder& out, const Value& string) {
  const std::string_view text = string.bytes();
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  size_t plain = 0;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text, at);
    const std::string escape = repr_escape(c.code_point, quote);
    if (!escape.empty()) {
      out.append(string.slice(plain, at));
      out.append(escape, string.slice(at, at + c.n_bytes).has_input());
      plain = at + c.n_bytes;
    }
    at += c.n_bytes;
  }
  out.append(string.slice(plain, text.size()));
  out.append(std::string_view(&quote, 1));
}

void append_items_repr(TextBuilder& out, Budget& budget, const Value& value, std::string_view open,
                       std::string_view close, int depth) {
  out.append(open);
  Cursor cursor(budget, value);
  size_t n = 0;
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next(), ++n) {
    if (n > 0) out.append(", ");
    append_repr(out, budget, item, depth + 1);
  }
  if (value.is(Kind::tuple) && n == 1) out.append(",");
  out.append(close);
}

void append_dict_repr(TextBuilder& out, Budget& budget, const Dict& dict, int depth) {
  out.append("{");
  for (size_t i = 0; i < dict.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, budget, dict.key_at(i), depth + 1);
    out.append(": ");
    append_repr(out, budget, dict.value_at(i), depth + 1);
  }
  out.append("}");
}

void append_range_repr(TextBuilder& out, const Range& range) {
  out.append("range(" + std::to_string(range.start) + ", " + std::to_string(range.stop));
  if (range.step != 1) out.append(", " + std::to_string(range.step));
  out.append(")");
}

void append_object_repr(TextBuilder& out, Budget& budget, const Value& value, int depth) {
  switch (value.kind()) {
    case Kind::name_space:
      out.append("<Namespace ");
      append_dict_repr(out, budget, *value.object<Namespace>().attributes, depth);
      out.append(">");
      return;
    case Kind::macro:
      out.append("<Macro '" + std::string(value.object<MacroObject>().name()) + "'>");
      return;
    case Kind::generator:
      out.append("<generator object " + std::string(value.object<Generator>().name()) + ">");
      return;
    default:
      out.append(joined("<", type_name(value), " object>"));
  }
}

}  // namespace

std::string format_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const bool is_negative = text.front() == '-';
  if (is_negative) text.remove_prefix(1);
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(),
                  exponent);
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  const auto n_digits = static_cast<int>(digits.size());
  std::string out = is_negative ? "-" : "";
  // Python's repr switches to an exponent below 1e-4 and from 1e16 on.
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (n_digits > 1) out.append(".").append(digits, 1);
    const int magnitude = std::abs(exponent);
    out += exponent < 0 ? "e-" : "e+";
    return out + (magnitude < 10 ? "0" : "") + std::to_string(magnitude);
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (n_digits <= exponent + 1) {
    return out + digits + std::string(static_cast<size_t>(exponent + 1 - n_digits), '0') + ".0";
  }
  const auto point = static_cast<size_t>(exponent + 1);
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

void append_repr(TextBuilder& out, Budget& budget, const Value& value, int depth) {
  // A namespace may hold itself; everything else is bounded when it is built.
  if (depth > budget.depth) fail_limit("values nested deeper than " + std::to_string(budget.depth));
  budget.step();
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      return out.append("Undefined");
    case Kind::none:
      return out.append("None");
    case Kind::boolean:
      return out.append(value.as_bool() ? "True" : "False");
    case Kind::integer:
      return out.append(std::to_string(value.as_integer()));
    case Kind::real:
      return out.append(format_real(value.as_real()));
    case Kind::string:
      if (!value.is_markup()) return append_string_repr(out, value);
      out.append("Markup(");
      append_string_repr(out, value);
      return out.append(")");
    case Kind::list:
      return append_items_repr(out, budget, value, "[", "]", depth);
    case Kind::tuple:
      return append_items_repr(out, budget, value, "(", ")", depth);
    case Kind::dict:
      return append_dict_repr(out, budget, value.dict(), depth);
    case Kind::dict_view: {
      static constexpr std::string_view kOpen[] = {"dict_keys([", "dict_values([", "dict_items(["};
      return append_items_repr(out, budget, value, kOpen[value.detail()], "])", depth);
    }
    case Kind::range:
      return append_range_repr(out, value.object<Range>());
    default:
      return append_object_repr(out, budget, value, depth);
  }
}

Value repr(Budget& budget, const Value& value) {
  TextBuilder out(budget);
  append_repr(out, budget, value);
  return out.finish();
}

void append_string(TextBuilder& out, Budget& budget, const Value& value) {
  if (value.is_string()) return out.append(value);
  if (!value.is_undefined()) append_repr(out, budget, value);
}

Value to_string(Budget& budget, const Value& value) {
  if (value.is_string()) return value.with_markup(false);
  TextBuilder out(budget);
  append_string(out, budget, value);
  return out.finish();
}

}  // namespace larder::formats::jinja
