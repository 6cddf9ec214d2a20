// How far a job is, on stderr: a line drawn over itself at a terminal, one now and then elsewhere;
// with --json, events.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "apps/options.h"
#include "apps/terminal.h"
#include "apps/timings.h"

namespace larder::apps {

struct JobPosition {
  int64_t n_done = 0;  // lines
  int64_t n_failed = 0;
  int64_t n_under_way = 0;
  int64_t n_tokens = 0;         // by this run
  std::optional<double> share;  // of the input; none where its size is not known
};

class JobProgress {
 public:
  JobProgress(std::string command, const OutputOptions& output);
  ~JobProgress();
  // The moment from which speeds count: the first line that is not done already.
  void work_begins(const JobPosition& position);
  void update(const JobPosition& position);
  // A line among those of progress.
  void say(const std::string& message);
  // {"event": name, ...}, with --json only.
  void event(std::string_view name, std::vector<formats::DataValue::Member> members);

 private:
  using Clock = std::chrono::steady_clock;
  bool is_due();
  std::optional<double> seconds_left(const JobPosition& position) const;
  void erase();

  std::string command_;
  OutputOptions output_;
  Terminal screen_;
  std::optional<Clock::time_point> begun_;
  Clock::time_point shown_at_ = Clock::now();
  double first_share_ = 0;
  bool is_drawn_ = false;
};

}  // namespace larder::apps
