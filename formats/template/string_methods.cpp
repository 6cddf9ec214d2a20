// Methods of strings, as Python has them.
#include <algorithm>

#include "formats/template/jinja_evaluator.h"
#include "formats/template/python_format.h"
#include "formats/template/text_operations.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

bool is_given(const Value& argument) { return !argument.is_missing() && !argument.is_none(); }

int64_t integer_or(const Value& argument, int64_t otherwise) {
  return argument.is_missing() ? otherwise : require_integer(argument, "the argument");
}

// startswith, endswith: one string or a tuple of them.
template <class Matches>
bool matches_any(Evaluator& evaluator, const Value& candidates, Matches matches) {
  if (candidates.is_string()) return matches(candidates.bytes());
  if (!candidates.is(Kind::tuple)) {
    fail("the argument must be a string or a tuple of strings, not " +
         std::string(type_name(candidates)));
  }
  const std::vector<Value> items = to_vector(evaluator.budget(), candidates);
  return std::any_of(items.begin(), items.end(), [&](const Value& item) {
    return matches(require_string(item, "the candidate").bytes());
  });
}

struct Window {
  Value text;
  size_t offset = 0;  // of the window, in characters
  bool is_valid = true;
};

// text[start:end] as find, count and startswith take it.
Window window_of(Evaluator& evaluator, const Value& self, const Value& start, const Value& end) {
  if (!is_given(start) && !is_given(end)) return {self};
  Budget& budget = evaluator.budget();
  const auto size = static_cast<int64_t>(length_of(budget, self));
  int64_t begin = is_given(start) ? require_integer(start, "start") : 0;
  if (begin < 0) begin = begin < -size ? 0 : begin + size;
  if (begin > size) return {self, 0, false};
  int64_t stop = is_given(end) ? require_integer(end, "end") : size;
  if (stop < 0) stop = stop < -size ? 0 : stop + size;
  if (std::min(stop, size) < begin) return {self, 0, false};
  return {slice(budget, self, Value::integer(begin), Value::integer(stop), {}),
          static_cast<size_t>(begin), true};
}

Value starts_with(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  const Window window = window_of(evaluator, self, arguments[1], arguments[2]);
  return Value::boolean(matches_any(evaluator, arguments[0], [&](std::string_view prefix) {
    return window.is_valid && window.text.bytes().substr(0, prefix.size()) == prefix;
  }));
}

Value ends_with(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  const Window window = window_of(evaluator, self, arguments[1], arguments[2]);
  return Value::boolean(matches_any(evaluator, arguments[0], [&](std::string_view suffix) {
    const std::string_view text = window.text.bytes();
    return window.is_valid && text.size() >= suffix.size() &&
           text.substr(text.size() - suffix.size()) == suffix;
  }));
}

// The place of a substring in characters, or -1.
int64_t find_in(Evaluator& evaluator, const Value& self, const Bound& arguments, bool from_right) {
  Budget& budget = evaluator.budget();
  const std::string_view needle = require_string(arguments[0], "the substring").bytes();
  const Window window = window_of(evaluator, self, arguments[1], arguments[2]);
  if (!window.is_valid) return -1;
  const std::string_view text = window.text.bytes();
  budget.step_bytes(from_right ? text.size() * (1 + std::min(needle.size() / 16, text.size()))
                               : text.size());
  const size_t at = from_right ? text.rfind(needle) : find_text(text, needle);
  if (at == std::string_view::npos) return -1;
  return static_cast<int64_t>(window.offset + count_code_points(text.substr(0, at)));
}

template <bool from_right>
Value find(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  return Value::integer(find_in(evaluator, self, arguments, from_right));
}

template <bool from_right>
Value index(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  const int64_t at = find_in(evaluator, self, arguments, from_right);
  if (at < 0) fail("substring not found");
  return Value::integer(at);
}

Value count(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  const std::string_view needle = require_string(arguments[0], "the substring").bytes();
  const Window window = window_of(evaluator, self, arguments[1], arguments[2]);
  if (!window.is_valid) return Value::integer(0);
  const std::string_view text = window.text.bytes();
  evaluator.budget().step_bytes(text.size());
  if (needle.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  int64_t n = 0;
  for (size_t at = find_text(text, needle); at != std::string_view::npos;
       at = find_text(text, needle, at + needle.size())) {
    ++n;
  }
  return Value::integer(n);
}

Value replace(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const Value& old = require_string(arguments[0], "the old text");
  const Value& by = require_string(arguments[1], "the new text");
  const Value escaped = self.is_markup() ? escape_html(budget, by) : by;
  return replace_text(budget, self, old, escaped, integer_or(arguments[2], -1));
}

template <bool left, bool right>
Value strip_method(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  return strip(evaluator.budget(), self, arguments[0], {left, right});
}

Value split(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  return make_list(budget, split_text(budget, self, arguments[0], integer_or(arguments[1], -1)));
}

Value split_right(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  return make_list(budget,
                   split_text_from_right(budget, self, arguments[0], integer_or(arguments[1], -1)));
}

Value lines(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  return make_list(budget, split_lines(budget, self, truth(budget, arguments[0])));
}

template <bool from_right>
Value partition(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const Value& separator = require_string(arguments[0], "the separator");
  const auto parts = from_right ? split_text_from_right(budget, self, separator, 1)
                                : split_text(budget, self, separator, 1);
  if (parts.size() == 2) {
    const Value middle =
        self.slice(parts[0].size_bytes(), parts[0].size_bytes() + separator.size_bytes());
    return make_tuple(budget, {parts[0], middle, parts[1]});
  }
  const Value empty = self.slice(0, 0);
  if (from_right) return make_tuple(budget, {empty, empty, self});
  return make_tuple(budget, {self, empty, empty});
}

Value join(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  std::vector<Value> strings = to_vector(budget, arguments[0]);
  for (Value& string : strings) {
    require_string(string, "an item to join");
    if (self.is_markup()) string = escape_html(budget, string);
  }
  return join_text(budget, self, strings).with_markup(self.is_markup());
}

template <Value (*change)(Budget&, const Value&)>
Value changed(Evaluator& evaluator, const Value& self, const Bound&) {
  return change(evaluator.budget(), self);
}

Value without_prefix(Evaluator&, const Value& self, const Bound& arguments) {
  const std::string_view prefix = require_string(arguments[0], "the prefix").bytes();
  const bool has = self.bytes().substr(0, prefix.size()) == prefix;
  return has ? self.slice(prefix.size(), self.size_bytes()) : self;
}

Value without_suffix(Evaluator&, const Value& self, const Bound& arguments) {
  const std::string_view suffix = require_string(arguments[0], "the suffix").bytes();
  const size_t size = self.size_bytes();
  const bool has = size >= suffix.size() && self.bytes().substr(size - suffix.size()) == suffix;
  return has ? self.slice(0, size - suffix.size()) : self;
}

enum class Side { left, center, right };

template <Side side>
Value padded(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const int64_t width = require_integer(arguments[0], "width");
  const Value fill = arguments[1].is_missing() ? Value::literal(" ") : arguments[1];
  if (count_code_points(require_string(fill, "the fill").bytes()) != 1)
    fail("the fill must be one character");
  const size_t size = length_of(budget, self);
  Padding padding = center_padding(size, width);
  if (side == Side::left) padding = {0, padding.left + padding.right};
  if (side == Side::right) padding = {padding.left + padding.right, 0};
  return pad(budget, self, padding, fill);
}

Value zero_fill(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const Padding padding =
      center_padding(length_of(budget, self), require_integer(arguments[0], "width"));
  const bool has_sign = !self.bytes().empty() && (self.bytes()[0] == '-' || self.bytes()[0] == '+');
  TextBuilder out(budget);
  if (has_sign) out.append(self.slice(0, 1));
  out.fill("0", padding.left + padding.right);
  out.append(self.slice(has_sign ? 1 : 0, self.size_bytes()));
  return out.finish();
}

Value expand_tabs(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const int64_t size = integer_or(arguments[0], 8);
  const std::string_view text = self.bytes();
  budget.step_bytes(8 * text.size());
  TextBuilder out(budget);
  int64_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t n_bytes = decode_utf8(text, at).n_bytes;
    if (text[at] == '\t') {
      const int64_t n = size > 0 ? size - column % size : 0;
      out.fill(" ", static_cast<size_t>(n), self.slice(at, at + 1).has_input());
      column += n;
    } else {
      out.append(self.slice(at, at + n_bytes));
      column = text[at] == '\n' || text[at] == '\r' ? 0 : column + 1;
    }
    at += n_bytes;
  }
  return out.finish();
}

template <bool (*is_member)(uint32_t)>
Value all_are(Evaluator& evaluator, const Value& self, const Bound&) {
  const std::string_view text = self.bytes();
  evaluator.budget().step_bytes(4 * text.size());
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text, at);
    if (!is_member(c.code_point)) return Value::boolean(false);
    at += c.n_bytes;
  }
  return Value::boolean(!text.empty());
}

bool is_alphanumeric(uint32_t c) noexcept {
  return is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c);
}
bool is_ascii(uint32_t c) noexcept { return c < 0x80; }

Value all_ascii(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  return self.size_bytes() == 0 ? Value::boolean(true)
                                : all_are<is_ascii>(evaluator, self, arguments);
}

Value all_printable(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  return self.size_bytes() == 0 ? Value::boolean(true)
                                : all_are<is_printable>(evaluator, self, arguments);
}

template <char kind>
Value has_case(Evaluator& evaluator, const Value& self, const Bound&) {
  const Value name = Value::literal(kind == 'u' ? "upper" : "lower");
  return Value::boolean(evaluator.apply_test(name, self, {}));
}

// Upper case begins words, lower case goes on in them, and there is at least one word.
Value is_title_case(Evaluator& evaluator, const Value& self, const Bound&) {
  const std::string_view text = self.bytes();
  evaluator.budget().step_bytes(4 * text.size());
  bool was_cased = false, has_word = false;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text, at);
    at += c.n_bytes;
    const bool begins = is_upper(c.code_point) || is_title(c.code_point);
    const bool continues = !begins && is_lower(c.code_point);
    if ((begins && was_cased) || (continues && !was_cased)) return Value::boolean(false);
    has_word |= begins;
    was_cased = begins || continues;
  }
  return Value::boolean(has_word);
}

Value format(Evaluator& evaluator, const Value& self, Arguments arguments) {
  return brace_format(evaluator, self, arguments);
}

Value format_map(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  if (!arguments[0].is(Kind::dict)) fail("format_map() needs a mapping");
  Arguments fields;
  const Dict& dict = arguments[0].dict();
  for (size_t i = 0; i < dict.size(); ++i) {
    if (dict.key_at(i).is_string()) fields.keyword.emplace_back(dict.key_at(i), dict.value_at(i));
  }
  return brace_format(evaluator, self, fields);
}

constexpr MethodSpec kStringMethods[] = {
    {"capitalize", {""}, changed<capitalize>, nullptr},
    {"casefold", {""}, changed<fold_case>, nullptr},
    {"center", {"width fillchar", 1}, padded<Side::center>, nullptr},
    {"count", {"sub start end", 1}, count, nullptr},
    {"endswith", {"suffix start end", 1}, ends_with, nullptr},
    {"expandtabs", {"tabsize"}, expand_tabs, nullptr},
    {"find", {"sub start end", 1}, find<false>, nullptr},
    {"format", {}, nullptr, format},
    {"format_map", {"mapping", 1}, format_map, nullptr},
    {"index", {"sub start end", 1}, index<false>, nullptr},
    {"isalnum", {""}, all_are<is_alphanumeric>, nullptr},
    {"isalpha", {""}, all_are<is_alpha>, nullptr},
    {"isascii", {""}, all_ascii, nullptr},
    {"isdecimal", {""}, all_are<is_decimal>, nullptr},
    {"isdigit", {""}, all_are<is_digit>, nullptr},
    {"islower", {""}, has_case<'l'>, nullptr},
    {"isnumeric", {""}, all_are<is_numeric>, nullptr},
    {"isprintable", {""}, all_printable, nullptr},
    {"isspace", {""}, all_are<is_space>, nullptr},
    {"istitle", {""}, is_title_case, nullptr},
    {"isupper", {""}, has_case<'u'>, nullptr},
    {"join", {"iterable", 1}, join, nullptr},
    {"ljust", {"width fillchar", 1}, padded<Side::left>, nullptr},
    {"lower", {""}, changed<to_lower>, nullptr},
    {"lstrip", {"chars"}, strip_method<true, false>, nullptr},
    {"partition", {"sep", 1}, partition<false>, nullptr},
    {"removeprefix", {"prefix", 1}, without_prefix, nullptr},
    {"removesuffix", {"suffix", 1}, without_suffix, nullptr},
    {"replace", {"old new count", 2}, replace, nullptr},
    {"rfind", {"sub start end", 1}, find<true>, nullptr},
    {"rindex", {"sub start end", 1}, index<true>, nullptr},
    {"rjust", {"width fillchar", 1}, padded<Side::right>, nullptr},
    {"rpartition", {"sep", 1}, partition<true>, nullptr},
    {"rsplit", {"sep maxsplit"}, split_right, nullptr},
    {"rstrip", {"chars"}, strip_method<false, true>, nullptr},
    {"split", {"sep maxsplit"}, split, nullptr},
    {"splitlines", {"keepends"}, lines, nullptr},
    {"startswith", {"prefix start end", 1}, starts_with, nullptr},
    {"strip", {"chars"}, strip_method<true, true>, nullptr},
    {"swapcase", {""}, changed<swap_case>, nullptr},
    {"title", {""}, changed<title_of_words>, nullptr},
    {"upper", {""}, changed<to_upper>, nullptr},
    {"zfill", {"width", 1}, zero_fill, nullptr},
};

}  // namespace

const MethodSpec* find_string_method(std::string_view name) {
  const auto found = std::find_if(std::begin(kStringMethods), std::end(kStringMethods),
                                  [name](const MethodSpec& spec) { return spec.name == name; });
  return found == std::end(kStringMethods) ? nullptr : found;
}

}  // namespace larder::formats::jinja
