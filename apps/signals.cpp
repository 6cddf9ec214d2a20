#include "apps/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "apps/exit_code.h"

namespace larder::apps {
namespace {

constexpr int kImpatient = 3;

std::atomic<runtime::Session*> g_session{nullptr};
std::atomic<int> g_interrupts{0};
std::atomic<bool> g_is_terminated{false};
std::atomic<bool> g_screen_changed{false};

void on_signal(int signal) {
  if (signal == SIGWINCH || signal == SIGCONT) {
    g_screen_changed = true;
    return;
  }
  if (signal == SIGINT) {
    if (++g_interrupts >= kImpatient) _exit(kInterrupted);
  } else {
    g_is_terminated = true;
  }
  if (runtime::Session* const session = g_session) session->cancel();
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT}) {
    sigaction(signal, &action, nullptr);
  }
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

void cancel_on_signal(runtime::Session* session) noexcept { g_session = session; }
bool is_interrupted() noexcept { return g_interrupts > 0; }
bool is_terminated() noexcept { return g_is_terminated; }
void forget_interrupt() noexcept { g_interrupts = 0; }
bool take_screen_change() noexcept { return g_screen_changed.exchange(false); }

}  // namespace larder::apps
