// What the screen can do, asked of each stream by itself, and a progress line.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace larder::apps {

enum class ColorMode : uint8_t { automatic, on, off };

class Terminal {
 public:
  Terminal(int descriptor, ColorMode color);

  bool is_terminal() const noexcept { return is_terminal_; }
  // A terminal that understands escape sequences: not TERM=dumb.
  bool can_redraw() const noexcept { return can_redraw_; }
  // `on` and `off` win; else a terminal that can, unless NO_COLOR is set and not empty.
  bool has_color() const noexcept { return has_color_; }
  std::string_view dim() const noexcept { return has_color_ ? "\x1b[2m" : ""; }
  std::string_view reset() const noexcept { return has_color_ ? "\x1b[0m" : ""; }
  int columns() const noexcept;

 private:
  int descriptor_;
  bool is_terminal_, can_redraw_, has_color_;
};

// Text from a model as a terminal may see it: control characters but newline and tab become U+FFFD,
// so that no text can drive the screen.
std::string for_terminal(std::string_view text);

// "1 answer", "2 answers".
std::string counted(int64_t n, std::string_view noun);

// "prompt  [####------]  40 %  205/512  3 s left", drawn over itself on stderr; only there where
// that is a terminal, and only once the work has taken a moment. A thread draws, so that the line
// comes also before the first step is done.
class ProgressLine {
 public:
  ProgressLine(const Terminal& terminal, std::string label, bool is_quiet);
  ~ProgressLine();  // erases itself
  void update(int64_t done, int64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  void run();
  void draw();

  const Terminal& terminal_;
  std::string label_;
  Clock::time_point start_ = Clock::now();
  bool is_drawn_ = false;                      // the thread's
  std::atomic<int64_t> done_ = 0, total_ = 0;  // total 0: not known yet
  std::mutex mutex_;
  std::condition_variable wakes_;
  bool has_ended_ = false;
  std::thread thread_;
};

// The text of the line, `columns` wide at most. seconds: since the start.
std::string progress_text(std::string_view label, int64_t done, int64_t total, double seconds,
                          int columns);

}  // namespace larder::apps
