// One answer after another on this terminal: runs the turn, shows it, tells how it ended.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apps/ending.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/terminal.h"
#include "runtime/session/chat.h"
#include "runtime/session/session.h"

namespace larder::apps {

class Conversation {
 public:
  Conversation(runtime::Session& session, std::unique_ptr<runtime::Chat> chat,
               const OutputOptions& output, bool hides_thinking);

  // Error: as Chat::say and Chat::regenerate; and `io` where stdout cannot be written.
  Result<runtime::StopReason> say(std::string text);
  Result<runtime::StopReason> regenerate();

  runtime::Chat& chat() noexcept { return *chat_; }
  runtime::Session& session() noexcept { return session_; }
  const OutputOptions& output_options() const noexcept { return output_options_; }
  const Terminal& err() const noexcept { return err_; }
  bool hides_thinking() const noexcept { return hides_thinking_; }
  void hide_thinking(bool hides) noexcept { hides_thinking_ = hides; }
  const std::optional<Timings>& last_timings() const noexcept { return last_timings_; }
  int32_t n_turns() const noexcept { return n_turns_; }
  // The reader of stdout left: nothing more can be shown.
  bool has_lost_reader() const noexcept { return has_lost_reader_; }

 private:
  using Turn =
      std::function<Result<runtime::Answer>(const runtime::Progress&, const runtime::OnPart&)>;
  Result<runtime::StopReason> run(const Turn& turn);
  void write_json(const runtime::Answer& answer);

  runtime::Session& session_;
  std::unique_ptr<runtime::Chat> chat_;
  OutputOptions output_options_;
  Output output_;
  Terminal out_, err_;
  bool hides_thinking_, has_lost_reader_ = false;
  std::optional<Timings> last_timings_;
  std::optional<runtime::ExpertStatistics> experts_before_;  // the answer that runs
  int32_t n_turns_ = 0;
};

}  // namespace larder::apps
