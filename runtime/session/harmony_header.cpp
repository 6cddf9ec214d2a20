#include "runtime/session/harmony_header.h"

#include <algorithm>

#include "runtime/session/thinking_style.h"

namespace larder::runtime {
namespace {

// A word ends before a blank and before a mark such as <|constrain|>.
std::string_view first_word(std::string_view text) noexcept {
  constexpr std::string_view kEnds = " \t\r\n<";
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text.substr(0, text.find_first_of(kEnds));
}

}  // namespace

HarmonyHeader parse_harmony_header(std::string_view header) noexcept {
  constexpr std::string_view kRecipient = "to=";
  HarmonyHeader parsed;
  if (const size_t at = header.rfind(harmony::kChannel); at != std::string_view::npos) {
    parsed.channel = first_word(header.substr(at + harmony::kChannel.size()));
  }
  for (size_t at = header.find(kRecipient); at != std::string_view::npos;
       at = header.find(kRecipient, at + 1)) {
    const bool begins_word = at == 0 || header[at - 1] == ' ' || header[at - 1] == '>';
    if (!begins_word) continue;
    parsed.recipient = first_word(header.substr(at + kRecipient.size()));
    break;
  }
  return parsed;
}

}  // namespace larder::runtime
