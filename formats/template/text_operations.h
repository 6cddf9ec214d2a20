// What str's methods do, on marked strings: bytes that came from somebody stay marked.
#pragma once

#include <string_view>
#include <vector>

#include "formats/template/jinja_value.h"
#include "formats/template/python_str.h"

namespace larder::formats::jinja {

// Linear in text + needle, whatever they are. npos if absent.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);

struct Sides {
  bool left = true, right = true;
};
// `characters` missing or none: white space.
Value strip(Budget& budget, const Value& text, const Value& characters, Sides sides = {});

Value to_upper(Budget& budget, const Value& text);
Value to_lower(Budget& budget, const Value& text);
Value fold_case(Budget& budget, const Value& text);
Value swap_case(Budget& budget, const Value& text);
Value capitalize(Budget& budget, const Value& text);
Value title_of_words(Budget& budget, const Value& text);  // str.title()
Value title_filter(Budget& budget,
                   const Value& text);  // |title: a word begins behind -, space, ( { [ <

// max_count < 0: all.
Value replace_text(Budget& budget, const Value& text, const Value& old, const Value& by,
                   int64_t max_count);
std::vector<Value> split_text(Budget& budget, const Value& text, const Value& separator,
                              int64_t max_splits);
std::vector<Value> split_text_from_right(Budget& budget, const Value& text, const Value& separator,
                                         int64_t max_splits);
std::vector<Value> split_lines(Budget& budget, const Value& text, bool keeps_ends);
Value join_text(Budget& budget, const Value& separator, const std::vector<Value>& strings);
Value indent_text(Budget& budget, const Value& text, const Value& indention, bool first,
                  bool blank);

struct Padding {
  size_t left = 0, right = 0;  // in characters
};
Value pad(Budget& budget, const Value& text, Padding padding, const Value& fill);
Padding center_padding(size_t size, int64_t width);

}  // namespace larder::formats::jinja
