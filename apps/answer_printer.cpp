#include "apps/answer_printer.h"

#include <cstdio>
#include <string>

namespace larder::apps {

using runtime::Flow;
using runtime::Part;

Flow AnswerPrinter::show(Part part, std::string_view piece) {
  if (part == Part::thinking) {
    if (shows_thinking_) show_thinking(piece);
    return Flow::go_on;
  }
  end_thinking();
  if (!piece.empty()) ends_with_newline_ = piece.back() == '\n';
  return write(piece) ? Flow::go_on : Flow::cancel;
}

void AnswerPrinter::finish() {
  end_thinking();
  if (!ends_with_newline_) write("\n");
  ends_with_newline_ = true;
}

void AnswerPrinter::show_thinking(std::string_view piece) {
  const Terminal& terminal = thinking_terminal();
  if (!is_thinking_) write_thinking(terminal.has_color() ? terminal.dim() : "[thinking]\n");
  is_thinking_ = true;
  if (terminal.is_terminal()) {
    write_thinking(for_terminal(piece));
  } else {
    write_thinking(piece);
  }
}

void AnswerPrinter::end_thinking() {
  if (!is_thinking_) return;
  is_thinking_ = false;
  const Terminal& terminal = thinking_terminal();
  write_thinking(terminal.has_color() ? terminal.reset() : "\n[end of thinking]");
  write_thinking("\n\n");
}

const Terminal& AnswerPrinter::thinking_terminal() const noexcept {
  return out_.is_terminal() ? out_ : err_;
}

void AnswerPrinter::write_thinking(std::string_view text) {
  if (out_.is_terminal()) {
    output_.write(text);
  } else {
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
}

bool AnswerPrinter::write(std::string_view text) {
  return out_.is_terminal() ? output_.write(for_terminal(text)) : output_.write(text);
}

}  // namespace larder::apps
