// Shows an answer as it comes: the answer on stdout, thinking apart from it.
#pragma once

#include <string_view>

#include "apps/output.h"
#include "apps/terminal.h"
#include "apps/word_wrap.h"
#include "runtime/session/generation.h"
#include "runtime/session/thinking.h"

namespace larder::apps {

// Thinking and calls are dim on a terminal; where stdout is none they go to stderr, since they are
// no result. On a terminal, lines break between words.
class AnswerPrinter {
 public:
  AnswerPrinter(Output& output, const Terminal& out, const Terminal& err, bool shows_thinking)
      : output_(output), out_(out), err_(err), shows_thinking_(shows_thinking) {}

  runtime::Flow show(runtime::AnswerPart part, std::string_view piece);
  // Ends the last line.
  void finish();

 private:
  void show_aside(runtime::AnswerPart part, std::string_view piece);
  void end_aside();
  const Terminal& aside_terminal() const noexcept;
  void write_aside(std::string_view text);
  bool write(std::string_view text);

  bool write_wrapped(std::string_view text);
  bool flush_wrap();

  Output& output_;
  const Terminal& out_;
  const Terminal& err_;
  bool shows_thinking_;
  runtime::AnswerPart part_ = runtime::AnswerPart::answer;  // what was shown last
  WordWrap wrap_;
  bool ends_with_newline_ = true;
};

}  // namespace larder::apps
