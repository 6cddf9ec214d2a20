// The scanners whose regular expressions are lists of alternatives around words.
#include "formats/text/pretokenizer_scanners.h"
#include "formats/text/unicode.h"

namespace larder::formats::scanners {

namespace {

constexpr CharClassSet kSpace = set_of(CharClass::space);
constexpr CharClassSet kNumber = set_of(CharClass::number);
constexpr CharClassSet kMark = set_of(CharClass::mark);
constexpr CharClassSet kPunctuationAndSymbols = set_of(CharClass::punctuation, CharClass::symbol);
constexpr CharClassSet kAnyClass = 0x7FF;
constexpr CharClassSet complement(int set) { return static_cast<CharClassSet>(kAnyClass & ~set); }

enum class Contractions : uint8_t { none, lower_case, any_case, any_case_after_words };
enum class Prefix : uint8_t { space, any_but };  // what one character may stand before a word

struct Alternatives {
  Contractions contractions = Contractions::none;
  bool ascii_sign_words = false;  // [!-/:-@\[-`{-~][A-Za-z]+
  bool cased_words = false;       // upper run, lower run
  Prefix prefix = Prefix::any_but;
  CharClassSet never_prefix = 0;  // besides \r and \n
  CharClassSet word = kLetters;
  size_t max_digits = 0;  // 0: numbers are no alternative
  CharClassSet sign = 0;  // ` ?[sign]+`
  bool newlines_after_signs = false;
  bool slashes_after_signs = false;
  bool newline_runs = false;  // \s*[\r\n]+
};

struct CharAt {
  CharClass char_class;
  uint32_t n_bytes;  // 0 at the end of the text
};

inline CharAt char_at(std::string_view text, size_t at) noexcept {
  if (at >= text.size()) return {CharClass::other, 0};
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {CharClass{unicode_tables::kClass[byte]}, 1};  // block 0 is ASCII
  const DecodedChar c = decode_multibyte(text, at);
  return {char_class(c.code_point), c.n_bytes};
}

inline size_t end_of_run(std::string_view text, size_t at, CharClassSet set,
                         size_t max_chars = SIZE_MAX) noexcept {
  for (; max_chars > 0; --max_chars) {
    const CharAt c = char_at(text, at);
    if (c.n_bytes == 0 || !contains(set, c.char_class)) break;
    at += c.n_bytes;
  }
  return at;
}

inline bool is_newline(char c) { return c == '\r' || c == '\n'; }
inline bool is_ascii_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

// The length of 's, 't, 're, 've, 'm, 'll or 'd at `at`, else 0. U+017F folds to s.
size_t contraction_bytes(std::string_view text, size_t at, bool any_case) noexcept {
  const auto letter = [&](size_t i) {
    if (i >= text.size()) return '\0';
    return any_case && is_ascii_letter(text[i]) ? static_cast<char>(text[i] | 0x20) : text[i];
  };
  if (at >= text.size() || text[at] != '\'') return 0;
  const char first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  if (any_case && text.substr(at + 1).starts_with("\u017F")) return 3;
  return 0;
}

// What is left of the white space at `at`: up to its last newline; else all of it at the end of the
// text; else all but the last character, which belongs to the next piece, unless it is alone.
size_t end_of_space(std::string_view text, size_t at, bool newline_runs) noexcept {
  size_t end = at, last = at, after_newline = at;
  for (CharAt c = char_at(text, end); c.n_bytes != 0 && c.char_class == CharClass::space;
       c = char_at(text, end)) {
    last = end;
    end += c.n_bytes;
    if (is_newline(text[last])) after_newline = end;
  }
  if (newline_runs && after_newline > at) return after_newline;
  return end == text.size() || last == at ? end : last;
}

constexpr CharClassSet kUpperSide =
    set_of(CharClass::upper, CharClass::title, CharClass::modifier_letter, CharClass::other_letter,
           CharClass::mark);
constexpr CharClassSet kLowerSide =
    set_of(CharClass::lower, CharClass::modifier_letter, CharClass::other_letter, CharClass::mark);

struct CasedRun {
  size_t upper_end;       // of the run of kUpperSide
  size_t last_lower_end;  // of its last character that is in kLowerSide too; 0 if none
};

CasedRun upper_run(std::string_view text, size_t at) noexcept {
  CasedRun run{at, 0};
  for (;;) {
    const CharAt c = char_at(text, run.upper_end);
    if (c.n_bytes == 0 || !contains(kUpperSide, c.char_class)) return run;
    run.upper_end += c.n_bytes;
    if (contains(kLowerSide, c.char_class)) run.last_lower_end = run.upper_end;
  }
}

// [upper side]*[lower side]+, or `at`.
size_t end_of_lower_word(std::string_view text, size_t at, const CasedRun& run) noexcept {
  const size_t end = end_of_run(text, run.upper_end, kLowerSide);
  if (end > run.upper_end) return end;
  return run.last_lower_end != 0 ? run.last_lower_end : at;
}

// The word at `at` with an optional prefix character, which is tried first; `at` if there is none.
// [upper side]+[lower side]* is asked only where the first form failed, hence without lower side.
size_t end_of_cased_word(std::string_view text, size_t at, CharAt first, bool may_prefix) noexcept {
  const size_t inside = at + first.n_bytes;
  const bool may_be_bare = contains(kUpperSide | kLowerSide, first.char_class);
  CasedRun after_prefix{}, bare{};
  if (may_prefix) {
    after_prefix = upper_run(text, inside);
    const size_t end = end_of_lower_word(text, inside, after_prefix);
    if (end > inside) return end;
  }
  if (may_be_bare) {
    bare = upper_run(text, at);
    const size_t end = end_of_lower_word(text, at, bare);
    if (end > at) return end;
  }
  if (may_prefix && after_prefix.upper_end > inside) return after_prefix.upper_end;
  return may_be_bare ? bare.upper_end : at;
}

template <Alternatives A>
size_t end_of_word(std::string_view text, size_t at, CharAt first) noexcept {
  if constexpr (A.prefix == Prefix::space) {
    const size_t start = at + (text[at] == ' ');
    const size_t end = end_of_run(text, start, A.word);
    return end > start ? end : at;
  }
  const bool may_prefix = !contains(A.never_prefix, first.char_class) && !is_newline(text[at]);
  if constexpr (A.cased_words) return end_of_cased_word(text, at, first, may_prefix);
  if (contains(A.word, first.char_class)) return end_of_run(text, at + first.n_bytes, A.word);
  if (!may_prefix) return at;
  const size_t start = at + first.n_bytes, end = end_of_run(text, start, A.word);
  return end > start ? end : at;
}

template <Alternatives A>
size_t end_of_signs(std::string_view text, size_t at) noexcept {
  const size_t start = at + (text[at] == ' ');
  size_t end = end_of_run(text, start, A.sign);
  if (end == start) return at;
  if constexpr (A.newlines_after_signs) {
    while (end < text.size() &&
           (is_newline(text[end]) || (A.slashes_after_signs && text[end] == '/'))) {
      ++end;
    }
  }
  return end;
}

// The end of the piece at `at`, or `at` if no alternative matches there.
template <Alternatives A>
size_t end_of_piece(std::string_view text, size_t at) noexcept {
  const CharAt first = char_at(text, at);
  if constexpr (A.contractions == Contractions::lower_case ||
                A.contractions == Contractions::any_case) {
    constexpr bool kAnyCase = A.contractions == Contractions::any_case;
    if (const size_t n = contraction_bytes(text, at, kAnyCase)) return at + n;
  }
  if constexpr (A.ascii_sign_words) {
    if (first.n_bytes == 1 && contains(kPunctuationAndSymbols, first.char_class)) {
      size_t end = at + 1;
      while (end < text.size() && is_ascii_letter(text[end])) ++end;
      if (end > at + 1) return end;
    }
  }
  if (const size_t end = end_of_word<A>(text, at, first); end > at) {
    if constexpr (A.contractions == Contractions::any_case_after_words) {
      return end + contraction_bytes(text, end, true);
    }
    return end;
  }
  if constexpr (A.max_digits > 0) {
    const size_t start = at + (A.prefix == Prefix::space && text[at] == ' ');
    const size_t end = end_of_run(text, start, kNumber, A.max_digits);
    if (end > start) return end;
  }
  if (const size_t end = end_of_signs<A>(text, at); end > at) return end;
  if (first.char_class == CharClass::space) return end_of_space(text, at, A.newline_runs);
  return at;
}

template <Alternatives A>
ByteRange find(std::string_view text, size_t from) noexcept {
  for (size_t at = from; at < text.size(); at += char_at(text, at).n_bytes) {
    if (const size_t end = end_of_piece<A>(text, at); end > at) return {at, end};
  }
  return {text.size(), text.size()};
}

constexpr Alternatives kLlama3 = {.contractions = Contractions::any_case,
                                  .never_prefix = kLetters | kNumber,
                                  .max_digits = 3,
                                  .sign = complement(kSpace | kLetters | kNumber),
                                  .newlines_after_signs = true,
                                  .newline_runs = true};

constexpr Alternatives kQwen2 = {.contractions = Contractions::any_case,
                                 .never_prefix = kLetters | kNumber,
                                 .max_digits = 1,
                                 .sign = complement(kSpace | kLetters | kNumber),
                                 .newlines_after_signs = true,
                                 .newline_runs = true};

constexpr Alternatives kQwen35 = {.contractions = Contractions::any_case,
                                  .never_prefix = kLetters | kNumber,
                                  .word = kLetters | kMark,
                                  .max_digits = 1,
                                  .sign = complement(kSpace | kLetters | kMark | kNumber),
                                  .newlines_after_signs = true,
                                  .newline_runs = true};

constexpr Alternatives kGpt4o = {.contractions = Contractions::any_case_after_words,
                                 .cased_words = true,
                                 .never_prefix = kLetters | kNumber,
                                 .max_digits = 3,
                                 .sign = complement(kSpace | kLetters | kNumber),
                                 .newlines_after_signs = true,
                                 .slashes_after_signs = true,
                                 .newline_runs = true};

constexpr Alternatives kGpt2 = {.contractions = Contractions::lower_case,
                                .prefix = Prefix::space,
                                .max_digits = SIZE_MAX,
                                .sign = complement(kSpace | kLetters | kNumber)};

constexpr Alternatives kDeepseekV3 = {.ascii_sign_words = true,
                                      .never_prefix = kLetters | kPunctuationAndSymbols,
                                      .word = kLetters | kMark,
                                      .sign = kPunctuationAndSymbols,
                                      .newlines_after_signs = true,
                                      .newline_runs = true};

}  // namespace

ByteRange find_llama3(std::string_view text, size_t from) noexcept {
  return find<kLlama3>(text, from);
}
ByteRange find_qwen2(std::string_view text, size_t from) noexcept {
  return find<kQwen2>(text, from);
}
ByteRange find_qwen35(std::string_view text, size_t from) noexcept {
  return find<kQwen35>(text, from);
}
ByteRange find_gpt4o(std::string_view text, size_t from) noexcept {
  return find<kGpt4o>(text, from);
}
ByteRange find_gpt2(std::string_view text, size_t from) noexcept { return find<kGpt2>(text, from); }
ByteRange find_deepseek_v3(std::string_view text, size_t from) noexcept {
  return find<kDeepseekV3>(text, from);
}

}  // namespace larder::formats::scanners
