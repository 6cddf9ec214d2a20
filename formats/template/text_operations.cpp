#include "formats/template/text_operations.h"

#include <string.h>  // memmem

#include <algorithm>
#include <string>

#include "formats/template/jinja_operators.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

// Shorter needles are found fast enough by comparing at every place.
constexpr size_t kLongNeedle = 16;

class CharacterSet {
 public:
  CharacterSet(Budget& budget, const Value& characters) : is_space_(!characters.is_string()) {
    if (is_space_) return;
    budget.step(characters.size_bytes());
    const std::string_view text = characters.bytes();
    for (size_t at = 0; at < text.size();) {
      const DecodedChar c = decode_utf8(text, at);
      set_ += static_cast<char32_t>(c.code_point);
      at += c.n_bytes;
    }
    std::sort(set_.begin(), set_.end());
  }
  bool has(uint32_t code_point) const {
    return is_space_
               ? is_space(code_point)
               : std::binary_search(set_.begin(), set_.end(), static_cast<char32_t>(code_point));
  }

 private:
  bool is_space_;
  std::u32string set_;
};

// Calls take(begin, end, is_input) for the runs of a string that are marked alike.
template <class Take>
void for_runs(const Value& text, Take take) {
  const size_t shift = text.begin();
  size_t at = shift;
  text.buffer().for_inputs(text.begin(), text.end(), [&](size_t begin, size_t end) {
    if (at < begin) take(at - shift, begin - shift, false);
    take(begin - shift, end - shift, true);
    at = end;
  });
  if (at < text.end()) take(at - shift, text.end() - shift, false);
}

// Rebuilds a string in another case; choose(code_point) tells which, called for each in order.
template <class Choose>
Value map_characters(Budget& budget, const Value& text, Choose choose) {
  constexpr size_t kChunkBytes = 4096;
  TextBuilder out(budget);
  budget.step_bytes(16 * text.size_bytes());
  const std::string_view bytes = text.bytes();
  std::string mapped;
  for_runs(text, [&](size_t begin, size_t end, bool is_input) {
    for (size_t at = begin; at < end;) {
      const DecodedChar c = decode_utf8(bytes.substr(0, end), at);
      char32_t scratch[1];
      for (const char32_t code_point : map_case(c.code_point, choose(c.code_point), scratch)) {
        if (code_point < 0x80) {
          mapped += static_cast<char>(code_point);
        } else {
          append_utf8(mapped, code_point);
        }
      }
      at += c.n_bytes;
      if (mapped.size() < kChunkBytes && at < end) continue;
      out.append(mapped, is_input);
      mapped.clear();
    }
  });
  return out.finish().with_markup(text.is_markup());
}

bool is_cased(uint32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

bool is_line_end(uint32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

// Words between white space, at most max_splits of them cut off; the rest stays whole.
std::vector<Value> split_at_spaces(Budget& budget, const Value& text, int64_t max_splits) {
  const std::string_view bytes = text.bytes();
  std::vector<Value> parts;
  size_t at = 0;
  const auto skip = [&](bool while_space) {
    while (at < bytes.size()) {
      const DecodedChar c = decode_utf8(bytes, at);
      if (is_space(c.code_point) != while_space) break;
      at += c.n_bytes;
    }
  };
  for (skip(true); at < bytes.size(); skip(true)) {
    budget.step();
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) >= max_splits) {
      parts.push_back(text.slice(at, bytes.size()));
      break;
    }
    const size_t begin = at;
    skip(false);
    parts.push_back(text.slice(begin, at));
  }
  return parts;
}

std::vector<Value> split_at_spaces_from_right(Budget& budget, const Value& text,
                                              int64_t max_splits) {
  const std::string_view bytes = text.bytes();
  std::vector<Value> parts;
  size_t end = bytes.size();
  const auto skip = [&](bool while_space) {
    while (end > 0) {
      const size_t begin = code_point_begin(bytes, end);
      if (is_space(decode_utf8(bytes, begin).code_point) != while_space) break;
      end = begin;
    }
  };
  for (skip(true); end > 0; skip(true)) {
    budget.step();
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) >= max_splits) {
      parts.push_back(text.slice(0, end));
      break;
    }
    const size_t word_end = end;
    skip(false);
    parts.push_back(text.slice(end, word_end));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

void require_separator(const Value& separator) {
  if (require_string(separator, "the separator").size_bytes() == 0) fail("empty separator");
}

// The pieces are not a list yet; their number is bounded like one.
void check_room(Budget& budget, const std::vector<Value>& parts) {
  if (parts.size() * sizeof(Value) > budget.heap.left()) budget.heap.charge(UINT64_MAX);
}

}  // namespace

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (needle.size() < kLongNeedle || from > text.size()) return text.find(needle, from);
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

Value strip(Budget& budget, const Value& text, const Value& characters, Sides sides) {
  if (!characters.is_missing() && !characters.is_none())
    require_string(characters, "the characters");
  const CharacterSet set(budget, characters);
  const std::string_view bytes = text.bytes();
  size_t begin = 0, end = bytes.size();
  while (sides.left && begin < end) {
    const DecodedChar c = decode_utf8(bytes, begin);
    if (!set.has(c.code_point)) break;
    begin += c.n_bytes;
  }
  while (sides.right && end > begin) {
    const size_t last = code_point_begin(bytes, end);
    if (!set.has(decode_utf8(bytes, last).code_point)) break;
    end = last;
  }
  budget.step_bytes(bytes.size() - (end - begin));
  return text.slice(begin, end);
}

Value to_upper(Budget& budget, const Value& text) {
  return map_characters(budget, text, [](uint32_t) { return Case::upper; });
}

Value to_lower(Budget& budget, const Value& text) {
  return map_characters(budget, text, [](uint32_t) { return Case::lower; });
}

Value fold_case(Budget& budget, const Value& text) {
  return map_characters(budget, text, [](uint32_t) { return Case::fold; });
}

Value swap_case(Budget& budget, const Value& text) {
  return map_characters(budget, text, [](uint32_t c) {
    return is_upper(c) ? Case::lower : is_lower(c) ? Case::upper : Case::same;
  });
}

Value capitalize(Budget& budget, const Value& text) {
  return map_characters(budget, text, [is_first = true](uint32_t) mutable {
    return std::exchange(is_first, false) ? Case::title : Case::lower;
  });
}

Value title_of_words(Budget& budget, const Value& text) {
  return map_characters(budget, text, [was_cased = false](uint32_t c) mutable {
    return std::exchange(was_cased, is_cased(c)) ? Case::lower : Case::title;
  });
}

Value title_filter(Budget& budget, const Value& text) {
  return map_characters(budget, text, [is_begin = true](uint32_t c) mutable {
    const bool is_break = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
    return std::exchange(is_begin, is_break) ? Case::upper : Case::lower;
  });
}

Value replace_text(Budget& budget, const Value& text, const Value& old, const Value& by,
                   int64_t max_count) {
  const std::string_view bytes = text.bytes(), needle = old.bytes();
  budget.step_bytes(bytes.size());
  TextBuilder out(budget);
  size_t plain = 0;
  int64_t n = 0;
  // An empty needle matches before every character and at the end.
  size_t at = needle.empty() ? 0 : find_text(bytes, needle);
  while (at <= bytes.size() && (max_count < 0 || n < max_count)) {
    budget.step();
    ++n;
    out.append(text.slice(plain, at));
    out.append(by);
    plain = at + needle.size();
    if (!needle.empty()) {
      at = find_text(bytes, needle, plain);
    } else if (at == bytes.size()) {
      break;
    } else {
      at += decode_utf8(bytes, at).n_bytes;
    }
  }
  if (n == 0) return text;
  out.append(text.slice(plain, bytes.size()));
  return out.finish().with_markup(text.is_markup());
}

std::vector<Value> split_text(Budget& budget, const Value& text, const Value& separator,
                              int64_t max_splits) {
  budget.step_bytes(text.size_bytes());
  if (separator.is_missing() || separator.is_none())
    return split_at_spaces(budget, text, max_splits);
  require_separator(separator);
  const std::string_view bytes = text.bytes(), needle = separator.bytes();
  std::vector<Value> parts;
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t at = find_text(bytes, needle, begin);
    if (at == std::string_view::npos) break;
    budget.step();
    if (parts.size() % 1024 == 0) check_room(budget, parts);
    parts.push_back(text.slice(begin, at));
    begin = at + needle.size();
  }
  parts.push_back(text.slice(begin, bytes.size()));
  return parts;
}

std::vector<Value> split_text_from_right(Budget& budget, const Value& text, const Value& separator,
                                         int64_t max_splits) {
  budget.step_bytes(text.size_bytes());
  if (separator.is_missing() || separator.is_none()) {
    return split_at_spaces_from_right(budget, text, max_splits);
  }
  require_separator(separator);
  const std::string_view bytes = text.bytes(), needle = separator.bytes();
  // rfind compares at every place.
  budget.step_bytes(bytes.size() * std::min(bytes.size(), needle.size() / kLongNeedle));
  std::vector<Value> parts;
  size_t end = bytes.size();
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    if (end < needle.size()) break;
    const size_t at = bytes.rfind(needle, end - needle.size());
    if (at == std::string_view::npos) break;
    budget.step();
    if (parts.size() % 1024 == 0) check_room(budget, parts);
    parts.push_back(text.slice(at + needle.size(), end));
    end = at;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Value> split_lines(Budget& budget, const Value& text, bool keeps_ends) {
  budget.step_bytes(4 * text.size_bytes());
  const std::string_view bytes = text.bytes();
  std::vector<Value> lines;
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const DecodedChar c = decode_utf8(bytes, at);
    const size_t line_end = at;
    at += c.n_bytes;
    if (!is_line_end(c.code_point)) continue;
    if (c.code_point == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    budget.step();
    if (lines.size() % 1024 == 0) check_room(budget, lines);
    lines.push_back(text.slice(begin, keeps_ends ? at : line_end));
    begin = at;
  }
  if (begin < bytes.size()) lines.push_back(text.slice(begin, bytes.size()));
  return lines;
}

Value join_text(Budget& budget, const Value& separator, const std::vector<Value>& strings) {
  TextBuilder out(budget);
  for (size_t i = 0; i < strings.size(); ++i) {
    budget.step();
    if (i > 0) out.append(separator);
    out.append(strings[i]);
  }
  return out.finish();
}

Value indent_text(Budget& budget, const Value& text, const Value& indention, bool first,
                  bool blank) {
  // Jinja appends a newline before it splits, so that a last empty line counts.
  const std::vector<Value> lines = split_lines(budget, text, false);
  const std::string_view bytes = text.bytes();
  bool ends_line = bytes.empty();
  if (!ends_line) {
    // "\r" and the newline that Jinja appends are one line end.
    const size_t last = code_point_begin(bytes, bytes.size());
    const uint32_t c = decode_utf8(bytes, last).code_point;
    ends_line = is_line_end(c) && c != '\r';
  }
  TextBuilder out(budget);
  const size_t n = lines.size() + (ends_line ? 1 : 0);
  for (size_t i = 0; i < n; ++i) {
    const bool is_empty = i >= lines.size() || lines[i].size_bytes() == 0;
    if (i > 0) out.append("\n");
    if (i == 0 ? first : blank || !is_empty) out.append(indention);
    if (!is_empty) out.append(lines[i]);
  }
  return out.finish().with_markup(text.is_markup());
}

Value pad(Budget& budget, const Value& text, Padding padding, const Value& fill) {
  if (padding.left == 0 && padding.right == 0) return text;
  const bool is_input = fill.has_input();
  TextBuilder out(budget);
  out.fill(fill.bytes(), padding.left, is_input);
  out.append(text);
  out.fill(fill.bytes(), padding.right, is_input);
  return out.finish().with_markup(text.is_markup());
}

// CPython puts the odd character left where the width is odd.
Padding center_padding(size_t size, int64_t width) {
  if (width <= 0 || static_cast<uint64_t>(width) <= size) return {};
  const size_t total = static_cast<size_t>(width) - size;
  const size_t left = total / 2 + (total & static_cast<size_t>(width) & 1);
  return {left, total - left};
}

}  // namespace larder::formats::jinja
