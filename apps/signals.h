// Signals become flags and a cancelled session; a fault of a mapped file becomes the end.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>

#include "runtime/session/engine.h"
#include "runtime/session/session.h"

namespace larder::apps {

// SIGINT and SIGTERM set flags, SIGWINCH and SIGCONT note that the screen must be drawn again;
// SIGPIPE and SIGXFSZ are ignored, so that writing to a closed pipe or past a limit is an error
// like any other. SIGBUS from a file that was cut short ends the program with one line. System
// calls are interrupted, not restarted.
void install_signal_handlers();

// The session that SIGINT and SIGTERM cancel; null for none.
void cancel_on_signal(runtime::Session* session) noexcept;

// While it lives, they cancel the engine. One at a time.
class CancelsOnSignal {
 public:
  explicit CancelsOnSignal(runtime::Engine& engine) noexcept;
  CancelsOnSignal(const CancelsOnSignal&) = delete;
  CancelsOnSignal& operator=(const CancelsOnSignal&) = delete;
  ~CancelsOnSignal();
};

bool is_interrupted() noexcept;
bool is_terminated() noexcept;
inline bool is_ending() noexcept { return is_interrupted() || is_terminated(); }
// True as long as is_ending(); what passes without a session are cancelled by.
const std::atomic<bool>& ending_flag() noexcept;
// From now on the first signal is answered by keeping what is done; a second one ends the program
// at once.
void end_at_second_signal() noexcept;
// The interruption was answered. Three that nobody answers end the program at once.
void forget_interrupt() noexcept;
// open() of what may wait for its other side, a pipe: again after a signal that ends nothing. -1
// and errno, which is EINTR where the program is to end.
int open_until_ending(const std::string& path, int flags, mode_t mode = 0) noexcept;
// Whether the screen must be drawn again; true once for each reason.
bool take_screen_change() noexcept;

}  // namespace larder::apps
