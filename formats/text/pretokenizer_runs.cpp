// The scanners whose regular expressions are one run of a class.
#include <algorithm>
#include <cstdint>

#include "formats/text/pretokenizer_scanners.h"
#include "formats/text/unicode.h"

namespace larder::formats::scanners {

namespace {

struct CodePointRange {
  uint32_t first, last;
};

// The letter class of DeepSeek LLM's tokenizer.json: the cased letters of an older Unicode.
constexpr CodePointRange kDeepseekLetters[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},
    {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},     {0x38C, 0x38C},
    {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},
    {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},
    {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},
    {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},
    {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},
    {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

bool is_deepseek_letter(uint32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  const auto* const after =
      std::upper_bound(std::begin(kDeepseekLetters), std::end(kDeepseekLetters), c,
                       [](uint32_t value, const CodePointRange& r) { return value < r.first; });
  return after != std::begin(kDeepseekLetters) && c <= (after - 1)->last;
}

// [!-/:-~] in ASCII and in its full-width forms, quotation marks, ideographic space and stops.
bool is_deepseek_sign(uint32_t c) {
  const uint32_t ascii = c >= 0xFF01 && c <= 0xFF5E ? c - 0xFEE0 : c;
  return (ascii >= '!' && ascii <= '/') || (ascii >= ':' && ascii <= '~') ||
         (c >= 0x2018 && c <= 0x201F) || (c >= 0x3000 && c <= 0x3002);
}

bool is_deepseek_script(uint32_t c) {
  return (c >= 0x0800 && c <= 0x9FA5) || (c >= 0xAC00 && c <= 0xD7FF);
}

bool is_cjk(uint32_t c) { return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF); }
bool is_number(uint32_t c) { return char_class(c) == CharClass::number; }
bool is_space(uint32_t c) { return char_class(c) == CharClass::space; }
bool is_newline(uint32_t c) { return c == '\r' || c == '\n'; }

template <auto Is>
ByteRange find_run(std::string_view text, size_t from, size_t max_chars = SIZE_MAX) noexcept {
  size_t begin = from;
  while (begin < text.size()) {
    const DecodedChar c = decode_utf8(text, begin);
    if (Is(c.code_point)) break;
    begin += c.n_bytes;
  }
  size_t end = begin;
  for (; end < text.size() && max_chars > 0; --max_chars) {
    const DecodedChar c = decode_utf8(text, end);
    if (!Is(c.code_point)) break;
    end += c.n_bytes;
  }
  return {begin, end};
}

// \s?[...]+
template <auto Is>
ByteRange find_run_after_space(std::string_view text, size_t from) noexcept {
  ByteRange run = find_run<Is>(text, from);
  if (run.begin == run.end) return run;
  for (size_t back = 1; back <= 3 && back <= run.begin - from; ++back) {
    const DecodedChar c = decode_utf8(text, run.begin - back);
    if (c.n_bytes == back && is_space(c.code_point)) return {run.begin - back, run.end};
  }
  return run;
}

}  // namespace

ByteRange find_digit(std::string_view text, size_t from) noexcept {
  return find_run<is_number>(text, from, 1);
}
ByteRange find_three_digits(std::string_view text, size_t from) noexcept {
  return find_run<is_number>(text, from, 3);
}
ByteRange find_digits(std::string_view text, size_t from) noexcept {
  return find_run<is_number>(text, from);
}
ByteRange find_newline(std::string_view text, size_t from) noexcept {
  return find_run<is_newline>(text, from, 1);
}
ByteRange find_cjk(std::string_view text, size_t from) noexcept {
  return find_run<is_cjk>(text, from);
}
ByteRange find_deepseek_letters(std::string_view text, size_t from) noexcept {
  return find_run_after_space<is_deepseek_letter>(text, from);
}
ByteRange find_deepseek_signs(std::string_view text, size_t from) noexcept {
  return find_run_after_space<is_deepseek_sign>(text, from);
}
ByteRange find_deepseek_script(std::string_view text, size_t from) noexcept {
  return find_run<is_deepseek_script>(text, from);
}

ByteRange find_trailing_space(std::string_view text, size_t from) noexcept {
  size_t begin = from;
  for (size_t at = from; at < text.size();) {
    const DecodedChar c = decode_utf8(text, at);
    at += c.n_bytes;
    if (!is_space(c.code_point)) begin = at;
  }
  return {begin, text.size()};
}

}  // namespace larder::formats::scanners
