// Python's operators on values.
#pragma once

#include "formats/template/jinja_value.h"

namespace larder::formats::jinja {

enum class BinaryOperator : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power
};
enum class Comparison : uint8_t {
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in
};

Value apply_binary(Budget& budget, BinaryOperator op, Value left, const Value& right);
Value negate(const Value& value);
Value concatenate(Budget& budget, Value left, const Value& right);  // strings
Value slice(Budget& budget, const Value& value, const Value& start, const Value& stop,
            const Value& step);

bool equal(Budget& budget, const Value& left, const Value& right, int depth = 0);
bool less(Budget& budget, const Value& left, const Value& right, int depth = 0);
bool contains(Budget& budget, const Value& container, const Value& item);
bool compare(Budget& budget, Comparison op, const Value& left, const Value& right);
uint64_t hash_of(Budget& budget, const Value& value, int depth = 0);  // fails for unhashable values

Value escape_html(Budget& budget, const Value& string);  // the result is markup

// Checked conversions for arguments; `what` names the argument.
int64_t require_integer(const Value& value, const char* what);
const Value& require_string(const Value& value, const char* what);
void require_defined(const Value& value);

// "%s: %d" % (a, b), and format_spec for "{:>8.2f}"; see python_format.cpp.
Value percent_format(Budget& budget, const Value& format, const Value& arguments);

}  // namespace larder::formats::jinja
