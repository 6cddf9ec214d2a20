#include "apps/answer_printer.h"

#include <cstdio>
#include <string>

namespace larder::apps {

using runtime::Flow;
using runtime::Part;

Flow AnswerPrinter::show(Part part, std::string_view piece) {
  if (part != Part::answer) {
    if (part == Part::call || shows_thinking_) show_aside(part, piece);
    return Flow::go_on;
  }
  end_aside();
  if (!piece.empty()) ends_with_newline_ = piece.back() == '\n';
  return write(piece) ? Flow::go_on : Flow::cancel;
}

void AnswerPrinter::finish() {
  end_aside();
  if (!ends_with_newline_) write("\n");
  ends_with_newline_ = true;
}

void AnswerPrinter::show_aside(Part part, std::string_view piece) {
  const Terminal& terminal = aside_terminal();
  if (part_ != part) {
    end_aside();
    part_ = part;
    write_aside(terminal.dim());
    if (part == Part::call) write_aside("[call] ");
    if (part == Part::thinking && !terminal.has_color()) write_aside("[thinking]\n");
  }
  if (terminal.is_terminal()) {
    write_aside(for_terminal(piece));
  } else {
    write_aside(piece);
  }
}

void AnswerPrinter::end_aside() {
  if (part_ == Part::answer) return;
  const Terminal& terminal = aside_terminal();
  const bool was_thinking = part_ == Part::thinking;
  part_ = Part::answer;
  write_aside(terminal.reset());
  if (was_thinking && !terminal.has_color()) write_aside("\n[end of thinking]");
  write_aside(was_thinking ? "\n\n" : "\n");
}

const Terminal& AnswerPrinter::aside_terminal() const noexcept {
  return out_.is_terminal() ? out_ : err_;
}

void AnswerPrinter::write_aside(std::string_view text) {
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
