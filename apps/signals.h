// Signals become flags and a cancelled session; nothing else happens in a handler.
#pragma once

#include "runtime/session/session.h"

namespace larder::apps {

// SIGINT and SIGTERM set flags, SIGWINCH and SIGCONT note that the screen must be drawn again;
// SIGPIPE is ignored, so that writing to a closed pipe is an error like any other. System calls
// are interrupted, not restarted.
void install_signal_handlers();

// The session that SIGINT and SIGTERM cancel; null for none.
void cancel_on_signal(runtime::Session* session) noexcept;

bool is_interrupted() noexcept;
bool is_terminated() noexcept;
// The interruption was answered. Three that nobody answers end the program at once.
void forget_interrupt() noexcept;
// Whether the screen must be drawn again; true once for each reason.
bool take_screen_change() noexcept;

}  // namespace larder::apps
