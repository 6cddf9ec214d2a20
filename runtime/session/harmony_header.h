// What a message's header says in the harmony format.
#pragma once

#include <string_view>

namespace larder::runtime {

struct HarmonyHeader {
  std::string_view channel;    // "analysis", "commentary", "final"; empty if none is named
  std::string_view recipient;  // of a call: "functions.f"; empty if there is none
};

// header: what stands between <|start|> and <|message|>, such as
// "assistant to=functions.f<|channel|>commentary json".
HarmonyHeader parse_harmony_header(std::string_view header) noexcept;

}  // namespace larder::runtime
