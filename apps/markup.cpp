#include "apps/markup.h"

#include "apps/terminal.h"

namespace larder::apps {

std::string escaped(const std::string& raw) {
  std::string text;
  for (const char c : for_terminal(raw)) {
    switch (c) {
      case '&':
        text += "&amp;";
        break;
      case '<':
        text += "&lt;";
        break;
      case '>':
        text += "&gt;";
        break;
      case '"':
        text += "&quot;";
        break;
      default:
        text += c;
    }
  }
  return text;
}

}  // namespace larder::apps
