#include "formats/template/jinja_json.h"

#include <algorithm>
#include <cmath>

#include "formats/template/jinja_evaluator.h"
#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const Bound& arguments);
  Value write(const Value& value) {
    write_value(value, 0);
    return out_.finish();
  }

 private:
  void write_value(const Value& value, int depth);
  void write_list(const Value& list, int depth);
  void write_dict(const Dict& dict, int depth);
  void write_string(const Value& string);
  std::string escape(const DecodedChar& c) const;
  Value key_text(const Value& key);
  void new_line(int depth);

  Budget& budget_;
  TextBuilder out_;
  bool is_ascii_, sorts_keys_, is_indented_;
  Value indent_, item_separator_, key_separator_;
};

JsonWriter::JsonWriter(Budget& budget, const Bound& arguments)
    : budget_(budget),
      out_(budget),
      is_ascii_(truth(budget, arguments[0])),
      sorts_keys_(truth(budget, arguments[3])),
      is_indented_(!arguments[1].is_missing() && !arguments[1].is_none()),
      item_separator_(Value::literal(is_indented_ ? "," : ", ")),
      key_separator_(Value::literal(": ")) {
  if (is_indented_) {
    indent_ = arguments[1];
    if (!indent_.is_string()) {
      TextBuilder spaces(budget);
      spaces.fill(" ",
                  static_cast<size_t>(std::max<int64_t>(0, require_integer(indent_, "indent"))));
      indent_ = spaces.finish();
    }
  }
  if (!arguments[2].is_missing() && !arguments[2].is_none()) {
    const std::vector<Value> separators = to_vector(budget, arguments[2]);
    if (separators.size() != 2) fail("separators must be (item_separator, key_separator)");
    item_separator_ = require_string(separators[0], "a separator");
    key_separator_ = require_string(separators[1], "a separator");
  }
}

void JsonWriter::new_line(int depth) {
  if (!is_indented_) return;
  out_.append("\n");
  for (int i = 0; i < depth; ++i) out_.append(indent_);
}

void JsonWriter::write_value(const Value& value, int depth) {
  if (depth > budget_.depth)
    fail_limit("values nested deeper than " + std::to_string(budget_.depth));
  budget_.step();
  switch (value.kind()) {
    case Kind::none:
      return out_.append("null");
    case Kind::boolean:
      return out_.append(value.as_bool() ? "true" : "false");
    case Kind::integer:
      return out_.append(std::to_string(value.as_integer()));
    case Kind::real:
      if (!std::isfinite(value.as_real())) fail("tojson of a number that JSON cannot express");
      return out_.append(format_real(value.as_real()));
    case Kind::string:
      return write_string(value);
    case Kind::list:
    case Kind::tuple:
      return write_list(value, depth);
    case Kind::dict:
      return write_dict(value.dict(), depth);
    default:
      fail("object of type " + std::string(type_name(value)) + " is not JSON serializable");
  }
}

void JsonWriter::write_list(const Value& list, int depth) {
  const Sequence& items = list.sequence();
  if (items.size() == 0) return out_.append("[]");
  out_.append("[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out_.append(item_separator_);
    new_line(depth + 1);
    write_value(items.at(i), depth + 1);
  }
  new_line(depth);
  out_.append("]");
}

Value JsonWriter::key_text(const Value& key) {
  switch (key.kind()) {
    case Kind::string:
      return key;
    case Kind::none:
      return Value::literal("null");
    case Kind::boolean:
      return Value::literal(key.as_bool() ? "true" : "false");
    case Kind::integer:
    case Kind::real:
      return to_string(budget_, key);
    default:
      fail("keys must be str, int, float, bool or None, not " + std::string(type_name(key)));
  }
}

void JsonWriter::write_dict(const Dict& dict, int depth) {
  if (dict.size() == 0) return out_.append("{}");
  std::vector<size_t> order(dict.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (sorts_keys_) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return less(budget_, dict.key_at(a), dict.key_at(b));
    });
  }
  out_.append("{");
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0) out_.append(item_separator_);
    new_line(depth + 1);
    write_string(key_text(dict.key_at(order[i])));
    out_.append(key_separator_);
    write_value(dict.value_at(order[i]), depth + 1);
  }
  new_line(depth);
  out_.append("}");
}

// "" where the character stands for itself.
std::string JsonWriter::escape(const DecodedChar& c) const {
  static constexpr std::string_view kShort = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
  static constexpr std::string_view kHexDigits = "0123456789abcdef";
  if (c.code_point >= kMalformedByte) fail("tojson of text that is no UTF-8");
  if (c.code_point < 0x80) {
    const size_t found = kShort.find(static_cast<char>(c.code_point));
    if (found != std::string_view::npos) return {'\\', kLetters[found]};
  }
  if (c.code_point >= 0x20 && (!is_ascii_ || c.code_point < 0x7f)) return {};
  if (c.code_point == 0x7f) return {};
  const auto unit = [](uint32_t u) {
    std::string text = "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) text += kHexDigits[(u >> shift) & 15];
    return text;
  };
  if (c.code_point < 0x10000) return unit(c.code_point);
  const uint32_t rest = c.code_point - 0x10000;  // as a UTF-16 surrogate pair
  return unit(0xd800 + (rest >> 10)) + unit(0xdc00 + (rest & 0x3ff));
}

void JsonWriter::write_string(const Value& string) {
  const std::string_view text = string.bytes();
  out_.append("\"");
  size_t plain = 0;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text, at);
    const std::string escaped = escape(c);
    if (!escaped.empty()) {
      out_.append(string.slice(plain, at));
      out_.append(escaped, string.slice(at, at + c.n_bytes).has_input());
      plain = at + c.n_bytes;
    }
    at += c.n_bytes;
  }
  out_.append(string.slice(plain, text.size()));
  out_.append("\"");
}

}  // namespace

Value to_json(Evaluator& evaluator, const Value& value, const Bound& arguments) {
  return JsonWriter(evaluator.budget(), arguments).write(value);
}

}  // namespace larder::formats::jinja
