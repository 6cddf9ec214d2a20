// Python's str: how values print, and the character facts its methods need (Unicode 14,
// Python 3.11).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/template/jinja_value.h"

namespace larder::formats::jinja {

// Characters are code points; a byte that is no UTF-8 counts as one.
size_t count_code_points(std::string_view text) noexcept;
// The byte offset of the `n`-th code point, or text.size().
size_t offset_of_code_point(std::string_view text, size_t n) noexcept;
size_t code_point_begin(std::string_view text, size_t end) noexcept;  // of the one before `end`

bool is_space(uint32_t code_point) noexcept;
bool is_printable(uint32_t code_point) noexcept;
bool is_alpha(uint32_t code_point) noexcept;
bool is_decimal(uint32_t code_point) noexcept;
bool is_digit(uint32_t code_point) noexcept;
bool is_numeric(uint32_t code_point) noexcept;
bool is_upper(uint32_t code_point) noexcept;
bool is_lower(uint32_t code_point) noexcept;
bool is_title(uint32_t code_point) noexcept;

enum class Case : uint8_t { upper, lower, title, fold, same };
// One to three code points.
std::u32string_view map_case(uint32_t code_point, Case to, char32_t (&scratch)[1]) noexcept;

std::string format_real(double value);                // repr(float): the shortest that reads back
Value to_string(Budget& budget, const Value& value);  // str()
void append_string(TextBuilder& out, Budget& budget, const Value& value);
void append_repr(TextBuilder& out, Budget& budget, const Value& value, int depth = 0);
Value repr(Budget& budget, const Value& value);

// int() and float() of text; false where Python raises ValueError.
bool parse_integer(std::string_view text, int base, int64_t& value);
bool parse_real(std::string_view text, double& value);

}  // namespace larder::formats::jinja
