#include "apps/job_progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "apps/exit_code.h"
#include "apps/markup.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using std::chrono::milliseconds;

constexpr milliseconds kRedraw{200}, kEvent{1000}, kLogLine{30'000};

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
}

}  // namespace

JobProgress::JobProgress(std::string command, const OutputOptions& output)
    : command_(std::move(command)), output_(output), screen_(STDERR_FILENO, output.color) {}

JobProgress::~JobProgress() { erase(); }

void JobProgress::erase() {
  if (std::exchange(is_drawn_, false)) std::fputs("\r\x1b[K", stderr);
}

void JobProgress::work_begins(const JobPosition& position) {
  if (begun_) return;
  begun_ = Clock::now();
  first_share_ = position.share.value_or(0);
}

bool JobProgress::is_due() {
  if (output_.is_quiet || !begun_) return false;
  const milliseconds every = output_.is_json ? kEvent : screen_.can_redraw() ? kRedraw : kLogLine;
  const Clock::time_point now = Clock::now();
  if (now - shown_at_ < every) return false;
  shown_at_ = now;
  return true;
}

std::optional<double> JobProgress::seconds_left(const JobPosition& position) const {
  if (!position.share || !begun_ || *position.share <= first_share_) return std::nullopt;
  const double seconds = std::chrono::duration<double>(Clock::now() - *begun_).count();
  return seconds * (1 - *position.share) / (*position.share - first_share_);
}

void JobProgress::update(const JobPosition& position) {
  if (!is_due()) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - *begun_).count();
  const double speed = static_cast<double>(position.n_tokens) / seconds;
  const std::optional<double> left = seconds_left(position);
  if (output_.is_json) {
    const auto number = [](const std::optional<double>& value) {
      return value ? DataValue(*value) : DataValue();
    };
    return event("progress", {{"lines", position.n_done},
                              {"failed", position.n_failed},
                              {"under_way", position.n_under_way},
                              {"tokens_per_second", speed},
                              {"share", number(position.share)},
                              {"seconds_left", number(left)}});
  }
  std::string text = command_;
  if (position.share) text += formatted("  %.1f %%", 100 * *position.share);
  text += "  " + std::to_string(position.n_done) + " lines";
  if (position.n_failed > 0) text += ", " + std::to_string(position.n_failed) + " failed";
  text += formatted("  %.1f tokens/s", speed);
  if (left) text += "  " + duration(*left) + " left";
  if (screen_.can_redraw()) {
    const auto columns = static_cast<size_t>(screen_.columns() - 1);
    if (text.size() > columns) text.resize(columns);
    std::fprintf(stderr, "\r%s\x1b[K", text.c_str());
    is_drawn_ = true;
  } else {
    complain(text);
  }
}

void JobProgress::say(const std::string& message) {
  if (output_.is_quiet) return;
  erase();
  complain(message);
}

void JobProgress::event(std::string_view name, std::vector<DataValue::Member> members) {
  if (!output_.is_json || output_.is_quiet) return;
  DataValue event = DataValue::make_dict({{"event", name}});
  for (DataValue::Member& member : members) event.dict.push_back(std::move(member));
  std::fprintf(stderr, "%s\n", to_json(event).c_str());
}

}  // namespace larder::apps
