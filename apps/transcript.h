// Conversations as files: what /save writes, and `render --messages` reads as well.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "formats/status.h"
#include "runtime/session/prompt.h"

namespace larder::apps {

// {"messages": [{"role", "content", ...}, ...]}. The file is complete or not there, and none of
// those in use.
Status save_messages(const std::string& path, const std::vector<runtime::Message>& messages,
                     std::span<const std::string> in_use = {});

// The same, or the list alone. Content may be a list of text parts. Errors: `value_type` naming the
// message, `unsupported` for parts of another kind; those of reading and of JSON.
Result<std::vector<runtime::Message>> load_messages(const std::string& path);

}  // namespace larder::apps
