// The scanners behind the pre-tokenizer rules; each is a FindPiece. Amortised over a text they look
// at every character a bounded number of times.
#pragma once

#include <cstddef>
#include <string_view>

#include "formats/text/marked_text.h"

namespace larder::formats::scanners {

// One alternative after the other, as in a regular expression: the first that matches wins.
ByteRange find_llama3(std::string_view text, size_t from) noexcept;
ByteRange find_qwen2(std::string_view text, size_t from) noexcept;
ByteRange find_qwen35(std::string_view text, size_t from) noexcept;
ByteRange find_gpt4o(std::string_view text, size_t from) noexcept;
ByteRange find_gpt2(std::string_view text, size_t from) noexcept;
ByteRange find_deepseek_v3(std::string_view text, size_t from) noexcept;

// Single runs.
ByteRange find_digit(std::string_view text, size_t from) noexcept;           // \p{N}
ByteRange find_three_digits(std::string_view text, size_t from) noexcept;    // \p{N}{1,3}
ByteRange find_digits(std::string_view text, size_t from) noexcept;          // \p{N}+
ByteRange find_newline(std::string_view text, size_t from) noexcept;         // [\r\n]
ByteRange find_trailing_space(std::string_view text, size_t from) noexcept;  // \s+$
ByteRange find_cjk(std::string_view text, size_t from) noexcept;  // [U+4E00-9FA5 U+3040-30FF]+
ByteRange find_deepseek_letters(std::string_view text, size_t from) noexcept;  // \s?[...]+
ByteRange find_deepseek_signs(std::string_view text, size_t from) noexcept;    // \s?[...]+
ByteRange find_deepseek_script(std::string_view text, size_t from) noexcept;   // [...]+

}  // namespace larder::formats::scanners
