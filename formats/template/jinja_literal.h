// Numbers and strings as template source writes them: Python's literals.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace larder::formats::jinja {

struct NumberLiteral {
  bool is_real = false;
  int64_t integer = 0;
  double real = 0;
  size_t n_bytes = 0;
  std::string error;  // empty: fine
};
// REQUIRES: source begins with a digit.
NumberLiteral read_number(std::string_view source, bool may_be_real);

// The text between the quotes, with Python's escapes resolved.
std::string unescape(std::string_view text, std::string& error);

}  // namespace larder::formats::jinja
