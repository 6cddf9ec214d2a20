#include "apps/conversation.h"

#include <unistd.h>

#include <utility>

#include "apps/answer_printer.h"
#include "apps/paging_report.h"
#include "formats/json/json.h"

namespace larder::apps {

using formats::DataValue;
using runtime::Answer;
using runtime::Flow;
using runtime::StopReason;

Conversation::Conversation(runtime::Session& session, std::unique_ptr<runtime::Chat> chat,
                           const OutputOptions& output, bool hides_thinking)
    : session_(session),
      chat_(std::move(chat)),
      output_options_(output),
      output_(Output::standard()),
      out_(STDOUT_FILENO, output.color),
      err_(STDERR_FILENO, output.color),
      hides_thinking_(hides_thinking) {}

Result<StopReason> Conversation::say(std::string text) {
  return run([&](const runtime::Progress& progress, const runtime::OnPart& on_part) {
    return chat_->say(std::move(text), progress, on_part);
  });
}

Result<StopReason> Conversation::regenerate() {
  return run([&](const runtime::Progress& progress, const runtime::OnPart& on_part) {
    return chat_->regenerate(progress, on_part);
  });
}

Result<StopReason> Conversation::run(const Turn& turn) {
  experts_before_ = session_.expert_statistics();
  auto progress = std::make_unique<ProgressLine>(err_, "prompt", output_options_.is_quiet);
  const bool shows_thinking = !hides_thinking_ && (out_.is_terminal() || !output_options_.is_quiet);
  AnswerPrinter printer(output_, out_, err_, shows_thinking);
  const Result<Answer> answer = turn(
      [&progress](int32_t done, int32_t total) {
        progress->update(done, total);
        if (done == total) progress.reset();
        return true;
      },
      [&](runtime::AnswerPart part, std::string_view piece) {
        return output_options_.is_json ? Flow::go_on : printer.show(part, piece);
      });
  progress.reset();
  if (!output_options_.is_json) printer.finish();
  if (!answer) return answer.status();

  Timings timings;
  timings.n_cached = answer->n_reused;
  timings.n_prompt = answer->n_prompt - answer->n_reused;
  timings.n_predicted = static_cast<int32_t>(answer->tokens.size());
  timings.prompt_seconds = answer->prompt_seconds;
  timings.predicted_seconds = answer->answer_seconds;
  last_timings_ = timings;
  ++n_turns_;
  if (output_options_.is_json) write_json(*answer);
  has_lost_reader_ = !output_.write("");
  if (Status s = output_.finish(); !s.ok()) return s;
  tell_ending(answer->reason, timings, session_.n_ctx(), output_options_);
  return answer->reason;
}

void Conversation::write_json(const Answer& answer) {
  DataValue object = DataValue::make_dict({{"message", to_data(answer.message)}});
  add_origin(object, session_.model().file().path(), chat_->options().sampler.seed);
  add_ending(object, answer.tokens, answer.reason, *last_timings_, !answer.message.calls.empty());
  if (auto statistics = session_.expert_statistics()) {
    statistics->counters -= experts_before_->counters;
    const Timings& timings = *last_timings_;
    object.dict.emplace_back(
        "experts", apps::to_data(*statistics, timings.prompt_seconds + timings.predicted_seconds));
  }
  output_.write(to_json(object) + "\n");
}

}  // namespace larder::apps
