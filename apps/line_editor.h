// Reads what a person types: one message at a time, edited with libedit where there is a terminal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "apps/history_file.h"

namespace larder::apps {

struct Typed {
  // line: a message; end: Ctrl-D or the end of stdin; interrupted: Ctrl-C; terminated: SIGTERM.
  enum class Kind : uint8_t { line, end, interrupted, terminated };
  Kind kind = Kind::line;
  std::string text;       // of a line; may hold newlines
  bool was_empty = true;  // interrupted: nothing had been typed
};

class LineEditor {
 public:
  // Edits on stderr, so that stdout stays the model's. Without a terminal for both stdin and stderr
  // it reads plain lines and shows no prompt.
  explicit LineEditor(HistoryFile history);
  ~LineEditor();

  // A pasted text is one message, whatever newlines it has; Alt-Enter adds a newline; a line that
  // begins with """ begins a block that ends with """.
  Typed read(const std::string& prompt, const std::string& continuation_prompt);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace larder::apps
