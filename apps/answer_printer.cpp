#include "apps/answer_printer.h"

#include <cstdio>
#include <string>

namespace larder::apps {

using runtime::AnswerPart;
using runtime::Flow;

Flow AnswerPrinter::show(AnswerPart part, std::string_view piece) {
  if (part != AnswerPart::answer) {
    if (part == AnswerPart::call || shows_thinking_) show_aside(part, piece);
    return Flow::go_on;
  }
  end_aside();
  if (!piece.empty()) ends_with_newline_ = piece.back() == '\n';
  return write(piece) ? Flow::go_on : Flow::cancel;
}

void AnswerPrinter::finish() {
  end_aside();
  flush_wrap();
  if (!ends_with_newline_) output_.write("\n");
  ends_with_newline_ = true;
}

void AnswerPrinter::show_aside(AnswerPart part, std::string_view piece) {
  const Terminal& terminal = aside_terminal();
  if (part_ != part) {
    end_aside();
    flush_wrap();
    part_ = part;
    write_aside(terminal.dim());
    if (part == AnswerPart::call) write_aside("[call] ");
    if (part == AnswerPart::thinking && !terminal.has_color()) write_aside("[thinking]\n");
  }
  if (out_.is_terminal()) {
    write_wrapped(piece);
  } else {
    write_aside(terminal.is_terminal() ? for_terminal(piece) : std::string(piece));
  }
}

void AnswerPrinter::end_aside() {
  if (part_ == AnswerPart::answer) return;
  flush_wrap();
  const Terminal& terminal = aside_terminal();
  const bool was_thinking = part_ == AnswerPart::thinking;
  part_ = AnswerPart::answer;
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
  return out_.is_terminal() ? write_wrapped(text) : output_.write(text);
}

// One column stays free: not every terminal waits for the next character after the last column.
bool AnswerPrinter::write_wrapped(std::string_view text) {
  return output_.write(wrap_.push(for_terminal(text), out_.columns() - 1));
}

bool AnswerPrinter::flush_wrap() { return output_.write(wrap_.finish()); }

}  // namespace larder::apps
