#include "apps/repl.h"

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "apps/exit_code.h"
#include "apps/line_editor.h"
#include "apps/repl_commands.h"
#include "apps/signals.h"
#include "formats/gguf/printable_name.h"

namespace larder::apps {
namespace {

bool is_command(std::string_view text) {
  return !text.empty() && text[0] == '/' && text.find('\n') == std::string_view::npos;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\n") == std::string_view::npos;
}

// What a turn leaves to do. A failed answer is told and the conversation goes on.
Next answer(Conversation& conversation, const std::string& text) {
  if (is_command(text)) return run_command(conversation, text);
  const auto reason = conversation.say(text);
  if (!reason) fail(reason.status());
  const bool is_full = reason ? *reason == runtime::StopReason::context_full
                              : reason.status().cause() == Cause::context_full;
  if (is_full && !conversation.chat().messages().empty())
    complain("/clear forgets this conversation and begins another");
  return Next::read_on;
}

void greet(Conversation& conversation) {
  if (conversation.output_options().is_quiet) return;
  const auto name = conversation.session().model().file().string("general.name");
  if (name) std::fprintf(stderr, "%s\n", formats::printable_name(*name).c_str());
  std::fputs("Ctrl-C stops an answer, Ctrl-D leaves, /help tells more.\n", stderr);
}

}  // namespace

int run_repl(Conversation& conversation, HistoryFile history) {
  LineEditor editor(std::move(history));
  greet(conversation);
  bool was_interrupted = false;  // and nothing has been typed since
  for (;;) {
    forget_interrupt();
    conversation.session().forget_cancel();
    const Typed typed = editor.read("> ", ". ");
    if (typed.kind == Typed::Kind::terminated) return kTerminated;
    if (typed.kind == Typed::Kind::end) return kOk;
    if (typed.kind == Typed::Kind::interrupted) {
      if (typed.was_empty && was_interrupted) return kInterrupted;
      if (typed.was_empty) std::fputs("Ctrl-C once more leaves, as /exit does.\n", stderr);
      was_interrupted = typed.was_empty;
      continue;
    }
    if (is_blank(typed.text)) continue;
    forget_interrupt();
    conversation.session().forget_cancel();
    const Next next = answer(conversation, typed.text);
    if (is_terminated()) return kTerminated;
    if (next == Next::leave || conversation.has_lost_reader()) return kOk;
    was_interrupted = is_interrupted();
  }
}

}  // namespace larder::apps
