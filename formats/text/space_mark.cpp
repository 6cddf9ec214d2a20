#include "formats/text/space_mark.h"

#include <algorithm>

namespace larder::formats {

namespace {

void append_replaced(std::string& out, std::string_view text, std::string_view from,
                     std::string_view to) {
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(from, at), text.size());
    out.append(text, at, found - at);
    if (found < text.size()) out += to;
    at = found + from.size();
  }
}

}  // namespace

void append_with_marks(std::string& out, std::string_view text) {
  append_replaced(out, text, " ", kSpaceMark);
}

void append_with_spaces(std::string& out, std::string_view text) {
  append_replaced(out, text, kSpaceMark, " ");
}

}  // namespace larder::formats
