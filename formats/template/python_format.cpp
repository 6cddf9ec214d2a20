#include "formats/template/python_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "formats/template/jinja_evaluator.h"
#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

constexpr int64_t kMaxNumber = 1 << 30;     // widths beyond fail the heap limit anyway
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

// "%(name)-08.3f"
class PercentFormatter {
 public:
  PercentFormatter(Budget& budget, const Value& format, const Value& arguments)
      : budget_(budget), out_(budget), format_(format), arguments_(arguments) {}
  Value run();

 private:
  void run_field();
  Value next_argument();
  int64_t read_count();
  void append_field(const Value& value, FormatSpec spec);

  Budget& budget_;
  TextBuilder out_;
  const Value& format_;
  const Value& arguments_;
  size_t at_ = 0;
  size_t n_used_ = 0;
  bool is_mapped_ = false;
};

Value PercentFormatter::run() {
  const std::string_view text = format_.bytes();
  while (at_ < text.size()) {
    const size_t end = std::min(text.find('%', at_), text.size());
    out_.append(format_.slice(at_, end));
    at_ = end;
    if (at_ < text.size()) run_field();
  }
  const bool is_tuple = arguments_.is(Kind::tuple);
  const size_t n = is_tuple ? arguments_.sequence().size() : 1;
  // Whatever can be subscripted might have been a mapping.
  const bool may_be_left = arguments_.is(Kind::dict) || arguments_.is(Kind::list) ||
                           arguments_.is(Kind::range) || arguments_.is_undefined() || is_mapped_;
  if (n_used_ < n && !(may_be_left && !is_tuple))
    fail("not all arguments converted during string formatting");
  return out_.finish().with_markup(format_.is_markup());
}

Value PercentFormatter::next_argument() {
  if (!arguments_.is(Kind::tuple)) {
    if (n_used_++ > 0) fail("not enough arguments for format string");
    return arguments_;
  }
  if (n_used_ >= arguments_.sequence().size()) fail("not enough arguments for format string");
  return arguments_.sequence().at(n_used_++);
}

int64_t PercentFormatter::read_count() {
  const std::string_view text = format_.bytes();
  if (at_ >= text.size() || text[at_] != '*') return read_number(text, at_);
  ++at_;
  return std::clamp(require_integer(next_argument(), "*"), -kMaxNumber, kMaxNumber);
}

void PercentFormatter::run_field() {
  const std::string_view text = format_.bytes();
  budget_.step();
  ++at_;
  Value mapped;
  if (at_ < text.size() && text[at_] == '(') {
    int depth = 1;
    const size_t begin = ++at_;
    for (; at_ < text.size() && depth > 0; ++at_)
      depth += text[at_] == '(' ? 1 : text[at_] == ')' ? -1 : 0;
    if (depth > 0) fail("incomplete format key");
    if (!arguments_.is(Kind::dict)) fail("format requires a mapping");
    mapped = arguments_.dict().find(budget_, format_.slice(begin, at_ - 1));
    if (mapped.is_missing()) fail("the format's key is not in the mapping");
    is_mapped_ = true;
  }
  FormatSpec spec;
  for (; at_ < text.size() && std::string_view("-+ 0#").find(text[at_]) != std::string_view::npos;
       ++at_) {
    if (text[at_] == '-') spec.align = '<';
    if (text[at_] == '+') spec.sign = '+';
    if (text[at_] == ' ' && spec.sign != '+') spec.sign = ' ';
    if (text[at_] == '0') spec.has_zero = true;
    if (text[at_] == '#') spec.is_alternate = true;
  }
  spec.width = std::max<int64_t>(0, read_count());
  if (at_ < text.size() && text[at_] == '.') {
    ++at_;
    spec.precision = std::max<int64_t>(0, read_count());
  }
  while (at_ < text.size() && std::string_view("hlL").find(text[at_]) != std::string_view::npos)
    ++at_;
  if (at_ >= text.size()) fail("incomplete format");
  spec.type = text[at_++];
  if (spec.type == '%') return out_.append(format_.slice(at_ - 1, at_));
  append_field(mapped.is_missing() ? next_argument() : mapped, spec);
}

void PercentFormatter::append_field(const Value& value, FormatSpec spec) {
  const bool is_input = false;
  const char type = spec.type;
  if (type == 's' || type == 'r' || type == 'a') {
    Value text = type == 's' ? to_string(budget_, value) : repr(budget_, value);
    if (format_.is_markup())
      text = escape_html(budget_, value.is_markup() ? value : text).with_markup(false);
    if (spec.precision >= 0) text = slice(budget_, text, {}, Value::integer(spec.precision), {});
    return append_padded(out_, text, spec, '>', is_input);
  }
  if (type == 'c') {
    if (value.is_string()) {
      if (length_of(budget_, value) != 1) fail("%c requires int or char");
      return append_padded(out_, value, spec, '>', is_input);
    }
    spec.has_zero = false;
    return append_formatted(out_, budget_, value, spec, is_input);
  }
  require_defined(value);
  if (std::string_view("diuxXo").find(type) != std::string_view::npos) {
    const bool is_decimal = type == 'd' || type == 'i' || type == 'u';
    if (!value.is_integral() && !(is_decimal && value.is(Kind::real)))
      fail("%d format: a number is required");
    const double real = value.as_real();
    if (!value.is_integral() && !(std::fabs(real) < 9.2e18)) fail("an integer beyond 64 bits");
    const int64_t integer = value.is_integral() ? value.as_integer() : static_cast<int64_t>(real);
    NumberText number = integer_text(integer, spec);
    if (spec.precision > static_cast<int64_t>(number.digits.size())) {
      if (static_cast<uint64_t>(spec.precision) > budget_.heap.left())
        budget_.heap.charge(UINT64_MAX);
      number.digits.insert(0, static_cast<size_t>(spec.precision) - number.digits.size(), '0');
    }
    return append_number(out_, budget_, number, spec, is_input);
  }
  if (std::string_view("eEfFgG").find(type) == std::string_view::npos) {
    fail("unsupported format character '" + std::string(1, type) + "'");
  }
  if (!value.is_number()) fail("must be a real number, not " + std::string(type_name(value)));
  append_number(out_, budget_, real_text(value.as_real(), spec), spec, is_input);
}

// "{0.name[key]!r:>{width}}"
class BraceFormatter {
 public:
  BraceFormatter(Evaluator& evaluator, const Arguments& arguments)
      : evaluator_(evaluator), budget_(evaluator.budget()), arguments_(arguments) {}
  Value run(const Value& format, int depth);

 private:
  void run_field(TextBuilder& out, const Value& field, int depth);
  Value look_up(const Value& name);
  Value first_of(const Value& name);

  Evaluator& evaluator_;
  Budget& budget_;
  const Arguments& arguments_;
  int64_t next_index_ = 0;  // -1 once fields are numbered by hand
};

Value BraceFormatter::run(const Value& format, int depth) {
  if (depth > 2) fail("max string recursion exceeded");
  const std::string_view text = format.bytes();
  TextBuilder out(budget_);
  for (size_t at = 0; at < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out.append(format.slice(at, brace));
    if (brace == text.size()) break;
    if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
      out.append(format.slice(brace, brace + 1));
      at = brace + 2;
      continue;
    }
    if (text[brace] == '}') fail("single '}' encountered in format string");
    int open = 1;
    size_t end = brace + 1;
    for (; end < text.size() && open > 0; ++end)
      open += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
    if (open > 0) fail("expected '}' before end of string");
    budget_.step();
    run_field(out, format.slice(brace + 1, end - 1), depth);
    at = end;
  }
  return out.finish();
}

void BraceFormatter::run_field(TextBuilder& out, const Value& field, int depth) {
  const std::string_view text = field.bytes();
  size_t end = 0;
  for (bool in_bracket = false; end < text.size(); ++end) {
    if (text[end] == '[') in_bracket = true;
    if (text[end] == ']') in_bracket = false;
    if (!in_bracket && (text[end] == '!' || text[end] == ':')) break;
  }
  Value value = look_up(field.slice(0, end));
  char conversion = 0;
  if (end < text.size() && text[end] == '!') {
    if (end + 1 >= text.size()) fail("end of string while looking for conversion specifier");
    conversion = text[end + 1];
    end += 2;
    if (end < text.size() && text[end] != ':') fail("expected ':' after conversion specifier");
  }
  if (conversion != 0 && conversion != 's' && conversion != 'r' && conversion != 'a') {
    fail("unknown conversion specifier");
  }
  if (conversion == 's') value = to_string(budget_, value);
  if (conversion == 'r' || conversion == 'a') value = repr(budget_, value);
  const Value spec_text =
      end < text.size() ? run(field.slice(end + 1, text.size()), depth + 1) : Value();
  if (spec_text.is_missing() || spec_text.size_bytes() == 0)
    return append_string(out, budget_, value);
  // A bool is formatted as text only without a spec.
  append_formatted(out, budget_, value, parse_spec(spec_text.bytes()), spec_text.has_input());
}

Value BraceFormatter::first_of(const Value& name) {
  const std::string_view text = name.bytes();
  int64_t index = 0;
  const bool is_number =
      !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  if (text.empty() || is_number) {
    if (text.empty() == (next_index_ < 0) && (text.empty() || next_index_ > 0)) {
      fail("cannot switch between manual field specification and automatic field numbering");
    }
    if (text.empty()) {
      index = next_index_++;
    } else {
      next_index_ = -1;
      if (!parse_integer(text, 10, index)) index = INT64_MAX;
    }
    if (static_cast<uint64_t>(index) >= arguments_.positional.size()) {
      fail("replacement index " + std::to_string(index) +
           " out of range for positional args tuple");
    }
    return arguments_.positional[static_cast<size_t>(index)];
  }
  for (const auto& [key, value] : arguments_.keyword) {
    if (key.bytes() == text) return value;
  }
  fail("no argument named '" + std::string(text) + "' to format");
}

Value BraceFormatter::look_up(const Value& path) {
  const std::string_view text = path.bytes();
  size_t at = std::min(text.find_first_of(".["), text.size());
  Value value = first_of(path.slice(0, at));
  while (at < text.size()) {
    budget_.step();
    if (text[at] == '.') {
      const size_t end = std::min(text.find_first_of(".[", at + 1), text.size());
      if (end == at + 1) fail("empty attribute in format string");
      value = evaluator_.attribute_of(value, path.slice(at + 1, end));
      at = end;
      continue;
    }
    const size_t end = text[at] == '[' ? text.find(']', at) : std::string_view::npos;
    if (end == std::string_view::npos || end == at + 1) fail("malformed field in format string");
    const std::string_view key = text.substr(at + 1, end - at - 1);
    int64_t index = 0;
    const bool is_index = key.find_first_not_of("0123456789") == std::string_view::npos &&
                          parse_integer(key, 10, index);
    value = evaluator_.item_of(value, is_index ? Value::integer(index) : path.slice(at + 1, end));
    at = end + 1;
  }
  return value;
}

}  // namespace

Value percent_format(Budget& budget, const Value& format, const Value& arguments) {
  return PercentFormatter(budget, format, arguments).run();
}

Value brace_format(Evaluator& evaluator, const Value& format, const Arguments& arguments) {
  return BraceFormatter(evaluator, arguments).run(format, 1).with_markup(format.is_markup());
}

}  // namespace larder::formats::jinja
