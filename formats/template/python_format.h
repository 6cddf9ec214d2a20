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

FormatSpec parse_spec(std::string_view text);
// Decimal digits at `at`, which moves behind them; -1 if there are none.
inline constexpr int64_t kMaxNumber = 1 << 30;  // wider text fails the heap limit anyway
int64_t read_number(std::string_view text, size_t& at);

// `is_input`: somebody's words chose the fill, so that all of the field is theirs.
void append_padded(TextBuilder& out, const Value& body, const FormatSpec& spec, char default_align,
                   bool is_input);
void append_number(TextBuilder& out, Budget& budget, const NumberText& text, FormatSpec spec,
                   bool is_input);
// A value by the rules of str.format.
void append_formatted(TextBuilder& out, Budget& budget, const Value& value, const FormatSpec& spec,
                      bool is_input);

}  // namespace larder::formats::jinja
