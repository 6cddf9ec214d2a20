// What begins with a slash: the commands of a conversation.
#pragma once

#include <string_view>

#include "apps/conversation.h"

namespace larder::apps {

enum class Next : uint8_t { read_on, leave };

// Runs "/name arguments". Answers go to stderr, as nothing here is the model's.
Next run_command(Conversation& conversation, std::string_view line);

}  // namespace larder::apps
