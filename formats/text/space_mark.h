// SentencePiece's spelling of a space.
#pragma once

#include <string>
#include <string_view>

namespace larder::formats {

inline constexpr std::string_view kSpaceMark = "\u2581";
// What SentencePiece shows for the unknown token.
inline constexpr std::string_view kUnknownText = " \u2047 ";

void append_with_marks(std::string& out, std::string_view text);   // spaces become marks
void append_with_spaces(std::string& out, std::string_view text);  // and back

}  // namespace larder::formats
