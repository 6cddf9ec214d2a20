// The printable characters by which byte-level BPE vocabularies spell bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace larder::formats {

// Appends the spelling of one byte, or of all bytes of a text.
void append_spelled(std::string& out, unsigned char byte);
std::string spelled(std::string_view bytes);

// Appends the bytes that `text` spells; text that holds any other character is appended as it is.
void append_unspelled(std::string& out, std::string_view text);

}  // namespace larder::formats
