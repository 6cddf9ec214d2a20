// The conversation at a terminal: messages and /commands, until the person leaves.
#pragma once

#include "apps/conversation.h"
#include "apps/history_file.h"

namespace larder::apps {

// The exit code: 0 after /exit or Ctrl-D, 130 after Ctrl-C at an empty prompt, 143 after SIGTERM.
int run_repl(Conversation& conversation, HistoryFile history);

}  // namespace larder::apps
