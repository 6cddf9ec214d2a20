// Pieces of the pages and drawings that reports are.
#pragma once

#include <cstdio>
#include <string>

namespace larder::apps {

// As printf would; 400 bytes at most.
template <class... Values>
std::string formatted(const char* format, Values... values) {
  char line[400];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

// As XML text; control characters become U+FFFD.
std::string escaped(const std::string& raw);

}  // namespace larder::apps
