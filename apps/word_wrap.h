// Breaks running text between words at a width, as it streams. Lines of code, tables and text
// indented like code are left to the terminal.
#pragma once

#include <string>
#include <string_view>

namespace larder::apps {

// Columns of a character on a terminal: 0 for marks that combine, 2 for wide ones.
int char_columns(char32_t c) noexcept;

class WordWrap {
 public:
  // What can be shown now; the last word is held until it is complete. Text is UTF-8; malformed
  // bytes take a column each. A word that is wider than `columns` begins a line of its own, and the
  // terminal breaks it: a long address can be copied whole.
  std::string push(std::string_view text, int columns);
  // What is held.
  std::string finish();

 private:
  void take(std::string_view character, char32_t c);
  void begin_line();
  void end_word();
  bool is_left_alone() const;

  std::string out_;
  std::string spaces_, word_;  // held: what was not shown yet, in this order
  int word_columns_ = 0;
  int column_ = 0, columns_ = 0;
  std::string line_start_;   // of the text's line: its first characters
  bool is_in_word_ = false;  // the word's beginning was shown already
  bool is_in_code_ = false;  // between two fences
  std::string fence_;        // what opened the code
};

}  // namespace larder::apps
