#include <algorithm>

#include "formats/template/jinja_evaluator.h"
#include "formats/template/python_format.h"
#include "formats/template/python_str.h"

namespace larder::formats::jinja {

namespace {

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

Value brace_format(Evaluator& evaluator, const Value& format, const Arguments& arguments) {
  return BraceFormatter(evaluator, arguments).run(format, 1).with_markup(format.is_markup());
}

}  // namespace larder::formats::jinja
