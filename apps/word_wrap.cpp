#include "apps/word_wrap.h"

#include <clocale>
#include <cwchar>
#include <utility>

#include "formats/text/unicode.h"

namespace larder::apps {
namespace {

constexpr size_t kStartBytes = 12;  // enough to see an indentation and what follows it
constexpr int kTabColumns = 8;

// wcwidth() knows the widths of the C library's Unicode only in a UTF-8 locale.
locale_t utf8_locale() noexcept {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{});
  return locale;
}

// "```" or "~~~" at the start of a line; empty if there is none.
std::string_view fence_of(std::string_view line) noexcept {
  constexpr size_t kFenceBytes = 3;
  const size_t indent = line.find_first_not_of(' ');
  if (indent == std::string_view::npos) return {};
  line.remove_prefix(indent);
  const bool is_fence = line.starts_with("```") || line.starts_with("~~~");
  return is_fence ? line.substr(0, kFenceBytes) : std::string_view();
}

// A list's items may be indented deeply without being code.
bool begins_item(std::string_view text) noexcept {
  if (text.starts_with("- ") || text.starts_with("* ") || text.starts_with("+ ")) return true;
  const size_t digits = text.find_first_not_of("0123456789");
  return digits != 0 && digits != std::string_view::npos &&
         (text[digits] == '.' || text[digits] == ')');
}

bool is_code_or_table(std::string_view line) noexcept {
  constexpr size_t kCodeIndent = 4;
  const size_t indent = line.find_first_not_of(' ');
  if (indent == std::string_view::npos) return false;
  const std::string_view text = line.substr(indent);
  if (text[0] == '|' || text[0] == '\t') return true;
  return indent >= kCodeIndent && !begins_item(text);
}

}  // namespace

int char_columns(char32_t c) noexcept {
  const locale_t locale = utf8_locale();
  if (locale == locale_t{}) return 1;
  const locale_t before = uselocale(locale);
  const int columns = wcwidth(static_cast<wchar_t>(c));
  uselocale(before);
  return columns < 0 ? 1 : columns;
}

std::string WordWrap::push(std::string_view text, int columns) {
  columns_ = columns;
  for (size_t at = 0; at < text.size();) {
    const formats::DecodedChar decoded = formats::decode_utf8(text, at);
    take(text.substr(at, decoded.n_bytes), decoded.code_point);
    at += decoded.n_bytes;
  }
  return std::exchange(out_, {});
}

std::string WordWrap::finish() {
  end_word();
  out_ += std::exchange(spaces_, {});
  begin_line();
  is_in_code_ = false;
  return std::exchange(out_, {});
}

void WordWrap::begin_line() {
  line_start_.clear();
  column_ = 0;
  is_in_word_ = false;
}

// The text's own line has ended, or what is shown of it: `column_` counts the screen's.
void WordWrap::take(std::string_view character, char32_t c) {
  if (c == '\n') {
    end_word();
    spaces_.clear();  // at a line's end they show nothing
    out_ += character;
    const std::string_view fence = fence_of(line_start_);
    if (!fence.empty() && (!is_in_code_ || fence == fence_)) {
      is_in_code_ = !is_in_code_;
      fence_ = fence;
    }
    begin_line();
    return;
  }
  if (line_start_.size() < kStartBytes) line_start_ += character;
  if (c == ' ' || c == '\t') {
    end_word();
    is_in_word_ = false;
    spaces_ += character;
    return;
  }
  const int width = char_columns(c);
  const bool is_wide = width > 1;
  if (is_wide) {
    end_word();
    is_in_word_ = false;
  }
  word_ += character;
  word_columns_ += width;
  const bool is_long = word_columns_ >= columns_;
  if (is_wide || is_long || is_left_alone()) end_word();
  if (is_long && !is_wide) is_in_word_ = true;
}

bool WordWrap::is_left_alone() const {
  return is_in_code_ || !fence_of(line_start_).empty() || is_code_or_table(line_start_);
}

void WordWrap::end_word() {
  if (word_.empty()) return;
  int space_columns = 0;
  for (const char space : spaces_) {
    const int at = column_ + space_columns;
    space_columns += space == '\t' ? kTabColumns - at % kTabColumns : 1;
  }
  const bool fits = column_ + space_columns + word_columns_ <= columns_;
  if (fits || column_ == 0 || is_in_word_ || is_left_alone()) {
    out_ += spaces_;
    column_ += space_columns;
  } else {
    out_ += '\n';
    column_ = 0;
  }
  out_ += word_;
  column_ += word_columns_;
  spaces_.clear();
  word_.clear();
  word_columns_ = 0;
}

}  // namespace larder::apps
