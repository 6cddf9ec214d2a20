#include "apps/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "apps/exit_code.h"

namespace larder::apps {
namespace {

constexpr int kImpatient = 3;
constexpr char kFileFault[] =
    "larder: a mapped file was cut short or cannot be read any more while it is in use; restore it "
    "and start again\n";

std::atomic<runtime::Session*> g_session{nullptr};
std::atomic<runtime::Engine*> g_engine{nullptr};
std::atomic<int> g_interrupts{0};
std::atomic<bool> g_is_terminated{false};
std::atomic<bool> g_is_ending{false};  // either of them
std::atomic<bool> g_ends_at_second{false};
std::atomic<bool> g_screen_changed{false};

void on_signal(int signal) {
  if (signal == SIGWINCH || signal == SIGCONT) {
    g_screen_changed = true;
    return;
  }
  if (g_ends_at_second && (g_interrupts > 0 || g_is_terminated)) {
    _exit(signal == SIGINT ? kInterrupted : kTerminated);
  }
  if (signal == SIGINT) {
    if (++g_interrupts >= kImpatient) _exit(kInterrupted);
  } else {
    g_is_terminated = true;
  }
  g_is_ending = true;
  if (runtime::Session* const session = g_session) session->cancel();
  if (runtime::Engine* const engine = g_engine) engine->cancel();
}

// Touching a page whose file is gone raises SIGBUS. Nothing can be continued, but it can be said.
void on_bus_error(int signal, siginfo_t* info, void*) {
  if (info->si_code == BUS_ADRERR) {
    [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, kFileFault, sizeof kFileFault - 1);
    _exit(kBadModel);
  }
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  raise(signal);
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
  for (const int signal : {SIGPIPE, SIGXFSZ}) sigaction(signal, &action, nullptr);  // errno tells
  struct sigaction fault {};
  fault.sa_sigaction = on_bus_error;
  fault.sa_flags = SA_SIGINFO;
  sigemptyset(&fault.sa_mask);
  sigaction(SIGBUS, &fault, nullptr);
}

void cancel_on_signal(runtime::Session* session) noexcept { g_session = session; }
CancelsOnSignal::CancelsOnSignal(runtime::Engine& engine) noexcept { g_engine = &engine; }
CancelsOnSignal::~CancelsOnSignal() { g_engine = nullptr; }
bool is_interrupted() noexcept { return g_interrupts > 0; }
bool is_terminated() noexcept { return g_is_terminated; }
void end_at_second_signal() noexcept { g_ends_at_second = true; }
const std::atomic<bool>& ending_flag() noexcept { return g_is_ending; }
void forget_interrupt() noexcept {
  g_interrupts = 0;
  g_is_ending = false;
  if (g_is_terminated) g_is_ending = true;  // also one that comes in between
}
int open_until_ending(const std::string& path, int flags, mode_t mode) noexcept {
  while (!is_ending()) {
    const int descriptor = ::open(path.c_str(), flags, mode);
    if (descriptor >= 0 || errno != EINTR) return descriptor;
  }
  errno = EINTR;
  return -1;
}
bool take_screen_change() noexcept { return g_screen_changed.exchange(false); }

}  // namespace larder::apps
