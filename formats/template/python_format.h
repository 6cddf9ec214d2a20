// Formatting by % and by str.format.
#pragma once

#include "formats/template/jinja_arguments.h"

namespace larder::formats::jinja {

class Evaluator;
Value brace_format(Evaluator& evaluator, const Value& format, const Arguments& arguments);

// A parsed format: "[[fill]align][sign][#][0][width][,_][.precision][type]".
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // one of "<>^=" or 0
  char sign = '-';
  bool is_alternate = false, has_zero = false;
  int64_t width = 0;
  char grouping = 0;
  int64_t precision = -1;
  char type = 0;
};

// Digits of a number by the type of its spec, without sign and padding.
struct NumberText {
  bool is_negative = false;
  std::string prefix, digits;
};
NumberText integer_text(int64_t value, const FormatSpec& spec);
NumberText real_text(double value, const FormatSpec& spec);

}  // namespace larder::formats::jinja
