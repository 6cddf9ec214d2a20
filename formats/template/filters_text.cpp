#include <algorithm>
#include <array>

#include "formats/template/filter_functions.h"
#include "formats/template/jinja_evaluator.h"
#include "formats/template/text_operations.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja::filters {

namespace {

// A string as it is, markup included; str() of anything else.
Value soft_string(Evaluator& evaluator, const Value& value) {
  return value.is_string() ? value : to_string(evaluator.budget(), value);
}

bool is_given(const Value& argument) { return !argument.is_missing() && !argument.is_none(); }

}  // namespace

Value string(Evaluator& evaluator, const Value& input, const Bound&) {
  return soft_string(evaluator, input);
}

Value upper(Evaluator& evaluator, const Value& input, const Bound&) {
  return to_upper(evaluator.budget(), soft_string(evaluator, input));
}

Value lower(Evaluator& evaluator, const Value& input, const Bound&) {
  return to_lower(evaluator.budget(), soft_string(evaluator, input));
}

Value capitalize_filter(Evaluator& evaluator, const Value& input, const Bound&) {
  return capitalize(evaluator.budget(), soft_string(evaluator, input));
}

Value title(Evaluator& evaluator, const Value& input, const Bound&) {
  return title_filter(evaluator.budget(), soft_string(evaluator, input)).with_markup(false);
}

Value trim(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  return strip(evaluator.budget(), soft_string(evaluator, input), arguments[0]);
}

Value center(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const Value text = soft_string(evaluator, input);
  const int64_t width = arguments[0].is_missing() ? 80 : require_integer(arguments[0], "width");
  return pad(budget, text, center_padding(length_of(budget, text), width), Value::literal(" "));
}

Value escape(Evaluator& evaluator, const Value& input, const Bound&) {
  return escape_html(evaluator.budget(), soft_string(evaluator, input));
}

Value force_escape(Evaluator& evaluator, const Value& input, const Bound&) {
  return escape_html(evaluator.budget(), to_string(evaluator.budget(), input));
}

Value safe(Evaluator& evaluator, const Value& input, const Bound&) {
  return soft_string(evaluator, input).with_markup(true);
}

Value replace(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const int64_t count = is_given(arguments[2]) ? require_integer(arguments[2], "count") : -1;
  return replace_text(budget, to_string(budget, input), to_string(budget, arguments[0]),
                      to_string(budget, arguments[1]), count);
}

Value indent(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  require_string(input, "what is indented");
  Value width = arguments[0].is_missing() ? Value::integer(4) : arguments[0];
  if (!width.is_string()) {
    TextBuilder spaces(budget);
    spaces.fill(" ", static_cast<size_t>(std::max<int64_t>(0, require_integer(width, "width"))));
    width = spaces.finish();
  }
  return indent_text(budget, input, width, truth(budget, arguments[1]),
                     truth(budget, arguments[2]));
}

Value format(Evaluator& evaluator, const Value& input, Arguments arguments) {
  Budget& budget = evaluator.budget();
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    fail("format takes positional or keyword arguments, not both");
  }
  Value values;
  if (arguments.keyword.empty()) {
    values = make_tuple(budget, std::move(arguments.positional));
  } else {
    const auto dict = make_ref<DictObject>(budget);
    for (auto& [name, value] : arguments.keyword) dict->set(budget, name, std::move(value));
    values = Value::of(Kind::dict, dict);
  }
  return percent_format(budget, soft_string(evaluator, input), values);
}

Value truncate(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const int64_t length = arguments[0].is_missing() ? 255 : require_integer(arguments[0], "length");
  const Value end = arguments[2].is_missing() ? Value::literal("...") : arguments[2];
  const int64_t leeway = is_given(arguments[3]) ? require_integer(arguments[3], "leeway") : 5;
  const auto n_end = static_cast<int64_t>(length_of(budget, require_string(end, "end")));
  if (length < n_end || leeway < 0) fail("truncate: the length is shorter than its end mark");
  const auto size = static_cast<int64_t>(length_of(budget, input));
  if (size - leeway <= length) return input;
  require_string(input, "what is truncated");
  const Value cut = slice(budget, input, {}, Value::integer(length - n_end), {});
  if (truth(budget, arguments[1])) return concatenate(budget, cut, end);
  const size_t space = cut.bytes().rfind(' ');
  const Value words = space == std::string_view::npos ? cut : cut.slice(0, space);
  return concatenate(budget, words, end);
}

Value word_count(Evaluator& evaluator, const Value& input, const Bound&) {
  const Value text = soft_string(evaluator, input);
  evaluator.budget().step_bytes(8 * text.size_bytes());
  const std::string_view bytes = text.bytes();
  int64_t n = 0;
  bool was_word = false;
  for (size_t at = 0; at < bytes.size();) {
    const DecodedChar c = decode_utf8(bytes, at);
    const bool is_word = is_alpha(c.code_point) || is_numeric(c.code_point) || c.code_point == '_';
    n += is_word && !was_word ? 1 : 0;
    was_word = is_word;
    at += c.n_bytes;
  }
  return Value::integer(n);
}

namespace {

// Entities that Markup.unescape meets in practice; others stay as they are.
struct Entity {
  std::string_view name, text;
};
constexpr std::array<Entity, 8> kEntities = {{{"&lt;", "<"},
                                              {"&gt;", ">"},
                                              {"&amp;", "&"},
                                              {"&#39;", "'"},
                                              {"&#34;", "\""},
                                              {"&quot;", "\""},
                                              {"&apos;", "'"},
                                              {"&nbsp;", "\xc2\xa0"}}};

// Without comments and tags, as runs of the input.
Value without_markup(Budget& budget, const Value& text) {
  const std::string_view bytes = text.bytes();
  TextBuilder out(budget);
  size_t at = 0;
  bool has_comments = true;
  while (at < bytes.size()) {
    const size_t open = std::min(bytes.find('<', at), bytes.size());
    out.append(text.slice(at, open));
    if (open == bytes.size()) break;
    size_t close = std::string_view::npos;
    if (has_comments && bytes.substr(open, 4) == "<!--") {
      const size_t end = bytes.find("-->", open);
      has_comments = end != std::string_view::npos;
      if (has_comments) close = end + 2;
    }
    if (close == std::string_view::npos) close = bytes.find('>', open);
    if (close == std::string_view::npos) {
      out.append(text.slice(open, bytes.size()));
      break;
    }
    at = close + 1;
  }
  return out.finish();
}

}  // namespace

Value strip_tags(Evaluator& evaluator, const Value& input, const Bound&) {
  Budget& budget = evaluator.budget();
  const Value plain = without_markup(budget, to_string(budget, input));
  const std::vector<Value> words = split_text(budget, plain, {}, -1);
  const Value text = join_text(budget, Value::literal(" "), words);
  const std::string_view bytes = text.bytes();
  TextBuilder out(budget);
  size_t done = 0;
  for (size_t at = bytes.find('&'); at != std::string_view::npos; at = bytes.find('&', at + 1)) {
    budget.step();
    for (const Entity& entity : kEntities) {
      if (bytes.substr(at, entity.name.size()) != entity.name) continue;
      out.append(text.slice(done, at));
      out.append(entity.text, text.slice(at, at + 1).has_input());
      done = at + entity.name.size();
      break;
    }
  }
  out.append(text.slice(done, bytes.size()));
  return out.finish();
}

namespace {

void append_url_quoted(TextBuilder& out, const Value& text, bool is_query) {
  static constexpr std::string_view kHexDigits = "0123456789ABCDEF";
  const std::string_view bytes = text.bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') ||
                          std::string_view("_.-~").find(c) != std::string_view::npos;
    if (is_plain || (c == '/' && !is_query)) {
      out.append(text.slice(i, i + 1));
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    const char quoted[3] = {'%', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
    const bool is_plus = is_query && c == ' ';
    out.append(is_plus ? "+" : std::string_view(quoted, 3), text.slice(i, i + 1).has_input());
  }
}

}  // namespace

Value url_encode(Evaluator& evaluator, const Value& input, const Bound&) {
  Budget& budget = evaluator.budget();
  TextBuilder out(budget);
  if (input.is_string() || !is_iterable(input)) {
    const Value text = to_string(budget, input);
    budget.step(text.size_bytes());
    append_url_quoted(out, text, false);
    return out.finish();
  }
  const Value pairs = input.is(Kind::dict) ? Value::of(Kind::dict_view, input.object_ref(),
                                                       static_cast<uint32_t>(DictViewKind::items))
                                           : input;
  Cursor cursor(budget, pairs);
  bool is_first = true;
  for (Value pair = cursor.next(); !pair.is_missing(); pair = cursor.next()) {
    const std::vector<Value> parts = to_vector(budget, pair);
    if (parts.size() != 2) fail("urlencode needs pairs of key and value");
    if (!std::exchange(is_first, false)) out.append("&");
    append_url_quoted(out, to_string(budget, parts[0]), true);
    out.append("=");
    append_url_quoted(out, to_string(budget, parts[1]), true);
  }
  return out.finish();
}

Value xml_attributes(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  if (!input.is(Kind::dict)) fail("xmlattr needs a dict");
  const bool has_space = arguments[0].is_missing() || truth(budget, arguments[0]);
  TextBuilder out(budget);
  for (size_t i = 0; i < input.dict().size(); ++i) {
    const Value value = input.dict().value_at(i);
    if (value.is_none() || value.is_undefined()) continue;
    const Value key = input.dict().key_at(i);
    if (require_string(key, "an attribute name").bytes().find_first_of(" \t\n\r\f\v/>=") !=
        std::string_view::npos) {
      fail("invalid character in attribute name");
    }
    if (has_space || out.size() > 0) out.append(" ");
    out.append(escape_html(budget, key));
    out.append("=\"");
    out.append(escape_html(budget, soft_string(evaluator, value)));
    out.append("\"");
  }
  return out.finish();
}

}  // namespace larder::formats::jinja::filters
