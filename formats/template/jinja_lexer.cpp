#include "formats/template/jinja_lexer.h"

#include <algorithm>
#include <array>

#include "formats/template/jinja_budget.h"
#include "formats/template/jinja_literal.h"
#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_space_at(std::string_view text, size_t at) {
  return is_space(decode_utf8(text, at).code_point);
}

size_t after_spaces(std::string_view text, size_t at) {
  while (at < text.size() && is_space_at(text, at)) at += decode_utf8(text, at).n_bytes;
  return at;
}

size_t before_spaces(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t last = code_point_begin(text, end);
    if (!is_space_at(text, last)) break;
    end = last;
  }
  return end;
}

[[noreturn]] void fail_syntax(std::string message, uint32_t line) {
  throw Failure{Cause::template_syntax, std::move(message), line};
}

}  // namespace

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool Lexer::starts_with(size_t position, std::string_view text) const {
  return source_.substr(std::min(position, source_.size()), text.size()) == text;
}

void Lexer::advance_to(size_t position) {
  line_ +=
      static_cast<uint32_t>(std::count(source_.begin() + static_cast<ptrdiff_t>(position_),
                                       source_.begin() + static_cast<ptrdiff_t>(position), '\n'));
  is_line_start_ = position > position_ ? source_[position - 1] == '\n' : is_line_start_;
  position_ = position;
}

Token Lexer::next() {
  Token token;
  while (position_ < source_.size()) {
    if (state_ == State::root ? next_of_root(token) : next_of_tag(token)) return token;
  }
  token.kind = TokenKind::end;
  token.line = line_;
  return token;
}

Lexer::Sign Lexer::sign_at(size_t position) const {
  if (starts_with(position, "-")) return Sign::minus;
  return starts_with(position, "+") ? Sign::plus : Sign::none;
}

// The end of a block tag at `position` with what it swallows, or npos.
size_t Lexer::after_block_end(size_t position) const {
  if (starts_with(position, "+%}")) return position + 3;
  if (starts_with(position, "-%}")) return after_spaces(source_, position + 3);
  if (!starts_with(position, "%}")) return std::string_view::npos;
  return position + (starts_with(position + 2, "\n") ? 3 : 2);
}

// What remains of the data before a tag: its sign may strip it, and lstrip_blocks removes the
// indentation of a block or comment that begins its line.
std::string_view Lexer::text_before_tag(size_t begin, size_t end, Sign sign,
                                        bool is_variable) const {
  const std::string_view text = source_.substr(begin, end - begin);
  if (sign == Sign::minus) return text.substr(0, before_spaces(text, text.size()));
  if (sign == Sign::plus || is_variable) return text;
  const size_t newline = text.rfind('\n');
  const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  if (line_begin == 0 && !is_line_start_) return text;
  return after_spaces(text, line_begin) == text.size() ? text.substr(0, line_begin) : text;
}

// Data up to the next tag, or the tag's opening. False: something was skipped, ask again.
bool Lexer::next_of_root(Token& token) {
  size_t tag = source_.find('{', position_);
  while (tag != std::string_view::npos && !starts_with(tag, "{{") && !starts_with(tag, "{%") &&
         !starts_with(tag, "{#")) {
    tag = source_.find('{', tag + 1);
  }
  token.line = line_;
  if (tag == std::string_view::npos) {
    token.kind = TokenKind::data;
    token.text = source_.substr(position_);
    advance_to(source_.size());
    return true;
  }
  const char opener = source_[tag + 1];
  const Sign sign = sign_at(tag + 2);
  const std::string_view text = text_before_tag(position_, tag, sign, opener == '{');
  if (tag > position_) {
    // The tag is read by the next call, which must not strip again: there is no text before it.
    const bool was_line_start = is_line_start_;
    advance_to(tag);
    if (text.empty()) is_line_start_ = was_line_start;
    token.kind = TokenKind::data;
    token.text = text;
    if (!text.empty()) return true;
    token.line = line_;
  }
  const size_t body = tag + 2 + (sign != Sign::none ? 1 : 0);
  if (opener == '#') {
    skip_comment(body);
    return false;
  }
  if (opener == '%') {
    const size_t raw = after_spaces(source_, body);
    if (starts_with(raw, "raw")) {
      const size_t close = after_spaces(source_, raw + 3);
      if (starts_with(close, "%}")) return take_raw(token, close + 2), true;
      if (starts_with(close, "-%}")) return take_raw(token, after_spaces(source_, close + 3)), true;
    }
  }
  advance_to(body);
  state_ = opener == '{' ? State::variable : State::block;
  token.kind = opener == '{' ? TokenKind::variable_begin : TokenKind::block_begin;
  return true;
}

void Lexer::skip_comment(size_t body) {
  const size_t close = source_.find("#}", body);
  if (close == std::string_view::npos) fail_syntax("the comment is not closed", line_);
  size_t end = close + 2;
  if (close > body && source_[close - 1] == '-') {
    end = after_spaces(source_, end);
  } else if ((close == body || source_[close - 1] != '+') && starts_with(end, "\n")) {
    ++end;
  }
  advance_to(end);
}

void Lexer::take_raw(Token& token, size_t body) {
  advance_to(body);
  token.kind = TokenKind::data;
  token.line = line_;
  for (size_t tag = source_.find("{%", body); tag != std::string_view::npos;
       tag = source_.find("{%", tag + 1)) {
    const Sign sign = sign_at(tag + 2);
    const size_t word = after_spaces(source_, tag + 2 + (sign != Sign::none ? 1 : 0));
    if (!starts_with(word, "endraw")) continue;
    const size_t end = after_block_end(after_spaces(source_, word + 6));
    if (end == std::string_view::npos) continue;
    token.text = text_before_tag(body, tag, sign, false);
    advance_to(end);
    return;
  }
  fail_syntax("the raw block is not closed", line_);
}

void Lexer::skip_spaces() { advance_to(after_spaces(source_, position_)); }

bool Lexer::take_end_of_tag(Token& token) {
  if (!brackets_.empty()) return false;
  size_t end = std::string_view::npos;
  if (state_ == State::block) {
    end = after_block_end(position_);
  } else if (starts_with(position_, "-}}")) {
    end = after_spaces(source_, position_ + 3);
  } else if (starts_with(position_, "}}")) {
    end = position_ + 2;
  }
  if (end == std::string_view::npos) return false;
  token.kind = state_ == State::block ? TokenKind::block_end : TokenKind::variable_end;
  advance_to(end);
  state_ = State::root;
  return true;
}

bool Lexer::next_of_tag(Token& token) {
  token.line = line_;
  if (take_end_of_tag(token)) return true;
  const char c = source_[position_];
  if (is_space_at(source_, position_)) return skip_spaces(), false;
  if (c >= '0' && c <= '9') return take_number(token), true;
  if (c == '"' || c == '\'') return take_string(token), true;
  if (is_word_char(c)) {
    size_t end = position_;
    while (end < source_.size() && is_word_char(source_[end]) && !is_space_at(source_, end)) {
      end += decode_utf8(source_, end).n_bytes;
    }
    token.kind = TokenKind::name;
    token.text = source_.substr(position_, end - position_);
    advance_to(end);
    return true;
  }
  if (!take_operator(token)) fail_syntax("unexpected character '" + std::string(1, c) + "'", line_);
  return true;
}

bool Lexer::take_operator(Token& token) {
  // Longest first.
  static constexpr std::array<std::string_view, 26> kOperators = {
      "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
  const auto found =
      std::find_if(kOperators.begin(), kOperators.end(),
                   [this](std::string_view op) { return starts_with(position_, op); });
  if (found == kOperators.end()) return false;
  token.kind = TokenKind::operation;
  token.text = source_.substr(position_, found->size());
  const char c = found->front();
  if (c == '(') brackets_.push_back(')');
  if (c == '[') brackets_.push_back(']');
  if (c == '{') brackets_.push_back('}');
  if (c == ')' || c == ']' || c == '}') {
    if (brackets_.empty() || brackets_.back() != c) {
      fail_syntax("unexpected '" + std::string(1, c) + "'", line_);
    }
    brackets_.pop_back();
  }
  advance_to(position_ + found->size());
  return true;
}

void Lexer::take_number(Token& token) {
  // After a dot digits are an index ("x.0.1"), never the fraction of a number.
  const bool may_be_real = position_ == 0 || source_[position_ - 1] != '.';
  const NumberLiteral number = read_number(source_.substr(position_), may_be_real);
  if (!number.error.empty()) fail_syntax(number.error, line_);
  token.kind = number.is_real ? TokenKind::real : TokenKind::integer;
  token.integer = number.integer;
  token.real = number.real;
  advance_to(position_ + number.n_bytes);
}

void Lexer::take_string(Token& token) {
  const char quote = source_[position_];
  size_t end = position_ + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) fail_syntax("the string is not closed", line_);
  std::string error;
  token.kind = TokenKind::string;
  token.string = unescape(source_.substr(position_ + 1, end - position_ - 1), error);
  if (!error.empty()) fail_syntax(error, line_);
  advance_to(end + 1);
}

}  // namespace larder::formats::jinja
