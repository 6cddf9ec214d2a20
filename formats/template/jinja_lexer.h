// Template source to tokens, one at a time: memory stays that of the source.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace larder::formats::jinja {

enum class TokenKind : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  operation,  // text holds the operator
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  uint32_t line = 1;
  std::string_view text;  // of data, names and operators: into the source
  std::string string;     // of strings: unescaped
  int64_t integer = 0;
  double real = 0;

  bool is_name(std::string_view name) const { return kind == TokenKind::name && text == name; }
  bool is_operation(std::string_view op) const {
    return kind == TokenKind::operation && text == op;
  }
};

// "\r\n" and "\r" become "\n"; one newline at the very end is dropped.
std::string normalize_newlines(std::string_view source);

// Settings are Hugging Face's: trim_blocks, lstrip_blocks. Throws Failure (template_syntax).
class Lexer {
 public:
  // REQUIRES: `source` outlives the lexer and its tokens, and has normalized newlines.
  explicit Lexer(std::string_view source) : source_(source) {}
  Token next();

 private:
  enum class State : uint8_t { root, variable, block };
  enum class Sign : uint8_t { none, minus, plus };

  bool next_of_root(Token& token);
  bool next_of_tag(Token& token);
  bool take_end_of_tag(Token& token);
  bool take_operator(Token& token);
  void take_number(Token& token);
  void take_string(Token& token);
  void take_raw(Token& token, size_t body);
  void skip_comment(size_t body);
  std::string_view text_before_tag(size_t begin, size_t end, Sign sign, bool is_variable) const;
  void advance_to(size_t position);
  void skip_spaces();
  bool starts_with(size_t position, std::string_view text) const;
  Sign sign_at(size_t position) const;
  size_t after_block_end(size_t position) const;

  std::string_view source_;
  size_t position_ = 0;
  uint32_t line_ = 1;
  State state_ = State::root;
  bool is_line_start_ = true;   // the last match ended with a newline
  std::vector<char> brackets_;  // the closing ones that are awaited
};

}  // namespace larder::formats::jinja
