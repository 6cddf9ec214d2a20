#include <algorithm>
#include <cmath>

#include "formats/template/jinja_operators.h"
#include "formats/template/python_format.h"
#include "formats/template/python_str.h"

namespace larder::formats::jinja {

namespace {

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

}  // namespace

Value percent_format(Budget& budget, const Value& format, const Value& arguments) {
  return PercentFormatter(budget, format, arguments).run();
}

}  // namespace larder::formats::jinja
