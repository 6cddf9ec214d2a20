// The filters; jinja_filters.cpp says which name and parameters each has.
#pragma once

#include "formats/template/jinja_arguments.h"

namespace larder::formats::jinja {

class Evaluator;

namespace filters {

using Filter = Value(Evaluator& evaluator, const Value& input, const Bound& arguments);
using VariadicFilter = Value(Evaluator& evaluator, const Value& input, Arguments arguments);

// filters_text.cpp
Filter capitalize_filter, center, escape, force_escape, indent, lower, replace, safe, string,
    strip_tags, title, trim, truncate, upper, url_encode, word_count, xml_attributes;
VariadicFilter format;

// filters_number.cpp
Filter absolute, file_size, round, to_float, to_int;

// filters_sequence.cpp
Filter attribute, batch, default_value, first, items, join, last, length, list, reverse, slices,
    sum;
VariadicFilter map, reject, reject_attribute, select, select_attribute;

// filters_order.cpp
Filter dict_sort, group_by, maximum, minimum, sort, unique;

}  // namespace filters

// "address.city": looked up step by step in an item; digits are indices.
class AttributePath {
 public:
  AttributePath(Budget& budget, const Value& attribute);  // missing or none: the item itself
  Value of(Evaluator& evaluator, Value item, const Value& otherwise = {}) const;

 private:
  std::vector<Value> parts_;
};

}  // namespace larder::formats::jinja
