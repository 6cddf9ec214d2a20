#include "apps/terminal.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace larder::apps {
namespace {

bool has_text(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool is_dumb() {
  const char* const term = std::getenv("TERM");
  return term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
}

// Bytes of the control character at the start of `text`; 0 if there is none. C1 controls are
// U+0080 to U+009F, in UTF-8 the bytes c2 80 to c2 9f.
size_t control_bytes(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) return 1;
  if (byte != 0xc2 || text.size() < 2) return 0;
  const auto second = static_cast<unsigned char>(text[1]);
  return second >= 0x80 && second <= 0x9f ? 2 : 0;
}

std::string time_left(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return std::to_string(whole) + " s left";
  return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s left";
}

}  // namespace

Terminal::Terminal(int descriptor, ColorMode color)
    : descriptor_(descriptor),
      is_terminal_(isatty(descriptor) == 1),
      can_redraw_(is_terminal_ && !is_dumb()),
      has_color_(color == ColorMode::on ||
                 (color == ColorMode::automatic && can_redraw_ && !has_text("NO_COLOR"))) {}

int Terminal::columns() const noexcept {
  winsize size{};
  if (ioctl(descriptor_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string for_terminal(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const size_t n = control_bytes(text);
    if (n > 0) {
      safe += "\xef\xbf\xbd";
    } else {
      safe += text[0];
    }
    text.remove_prefix(std::max<size_t>(n, 1));
  }
  return safe;
}

std::string counted(int64_t n, std::string_view noun) {
  return std::to_string(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

std::string progress_text(std::string_view label, int64_t done, int64_t total, double seconds,
                          int columns) {
  constexpr int kBarWidth = 24;
  total = std::max<int64_t>(total, 1);
  done = std::clamp<int64_t>(done, 0, total);
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const int filled = static_cast<int>(part * kBarWidth);
  std::string text(label);
  text += " [" + std::string(static_cast<size_t>(filled), '#') +
          std::string(static_cast<size_t>(kBarWidth - filled), '-') + "] " +
          std::to_string(static_cast<int>(part * 100)) + " %  " + std::to_string(done) + "/" +
          std::to_string(total);
  if (done > 0 && done < total) text += "  " + time_left(seconds / part - seconds);
  if (columns > 0) text.resize(std::min(text.size(), static_cast<size_t>(columns)));
  return text;
}

ProgressLine::ProgressLine(const Terminal& terminal, std::string label, bool is_quiet)
    : terminal_(terminal), label_(std::move(label)) {
  if (!terminal.can_redraw() || is_quiet) return;
  // Signals are for the thread that waits for the work.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // no thread can be had: work goes on untold
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ProgressLine::~ProgressLine() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
  }
  wakes_.notify_one();
  thread_.join();
  if (is_drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressLine::update(int64_t done, int64_t total) {
  done_ = done;
  total_ = total;
}

void ProgressLine::run() {
  using namespace std::chrono_literals;
  constexpr auto kMoment = 500ms;    // shorter work needs no line
  constexpr auto kInterval = 100ms;  // between two drawings
  std::unique_lock lock(mutex_);
  const auto has_ended = [this] { return has_ended_; };
  if (wakes_.wait_for(lock, kMoment, has_ended)) return;
  do {
    draw();
  } while (!wakes_.wait_for(lock, kInterval, has_ended));
}

void ProgressLine::draw() {
  const int64_t total = total_;
  if (total <= 0) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::string text = progress_text(label_, done_, total, seconds, terminal_.columns() - 1);
  std::fprintf(stderr, "\r%s\x1b[K", text.c_str());
  is_drawn_ = true;
}

}  // namespace larder::apps
