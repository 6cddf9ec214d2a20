// Names from a file as they may be shown: escaped where a terminal could be fooled, and shortened.
#pragma once

#include <string>
#include <string_view>

namespace larder::formats {

std::string printable_name(std::string_view name);

// The subjects of errors.
std::string key_subject(std::string_view key);
std::string tensor_subject(std::string_view name);

// Shortest form only, no surrogates, at most U+10FFFF. Source: RFC 3629.
bool is_utf8(std::string_view text) noexcept;

}  // namespace larder::formats
