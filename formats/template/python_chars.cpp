#include <algorithm>
#include <iterator>
#include <span>

#include "formats/template/python_str.h"
#include "formats/template/python_str_tables.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

using namespace str_tables;

enum Flag : uint8_t {
  printable = 1,
  alpha = 2,
  decimal = 4,
  digit = 8,
  numeric = 16,
  upper = 32,
  lower = 64,
  title = 128
};

// The first range of a sorted table that does not end before `code_point`.
template <class Range>
const Range* range_at(const Range* ranges, size_t n, uint32_t code_point) noexcept {
  const Range* found =
      std::partition_point(ranges, ranges + n, [=](const Range& r) { return r.last < code_point; });
  return found != ranges + n && found->first <= code_point ? found : nullptr;
}

bool has_flag(uint32_t code_point, Flag flag) noexcept {
  const ClassRange* range = range_at(class_ranges, n_class_ranges, code_point);
  return range != nullptr && (range->flags & flag) != 0;
}

struct CaseTable {
  std::span<const CaseRun> runs;
  std::span<const LongMapping> long_mappings;
};

CaseTable case_table(Case to) noexcept {
  switch (to) {
    case Case::upper:
      return {{upper_runs, n_upper_runs}, {long_upper, n_long_upper}};
    case Case::lower:
      return {{lower_runs, n_lower_runs}, {long_lower, n_long_lower}};
    case Case::fold:
      return {{casefold_runs, n_casefold_runs}, {long_casefold, n_long_casefold}};
    case Case::title:
    case Case::same:
      break;
  }
  return {{title_runs, n_title_runs}, {long_title, n_long_title}};
}

}  // namespace

size_t count_code_points(std::string_view text) noexcept {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); ++n) at += decode_utf8(text, at).n_bytes;
  return n;
}

size_t offset_of_code_point(std::string_view text, size_t n) noexcept {
  size_t at = 0;
  for (; n > 0 && at < text.size(); --n) at += decode_utf8(text, at).n_bytes;
  return at;
}

size_t code_point_begin(std::string_view text, size_t end) noexcept {
  for (size_t n_bytes = 4; n_bytes > 1; --n_bytes) {
    if (n_bytes <= end && decode_utf8(text.substr(0, end), end - n_bytes).n_bytes == n_bytes) {
      return end - n_bytes;
    }
  }
  return end - 1;
}

bool is_space(uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

bool is_printable(uint32_t c) noexcept { return has_flag(c, printable); }
bool is_alpha(uint32_t c) noexcept { return has_flag(c, alpha); }
bool is_decimal(uint32_t c) noexcept { return has_flag(c, decimal); }
bool is_digit(uint32_t c) noexcept { return has_flag(c, digit); }
bool is_numeric(uint32_t c) noexcept { return has_flag(c, numeric); }
bool is_upper(uint32_t c) noexcept { return has_flag(c, upper); }
bool is_lower(uint32_t c) noexcept { return has_flag(c, lower); }
bool is_title(uint32_t c) noexcept { return has_flag(c, title); }

std::u32string_view map_case(uint32_t code_point, Case to, char32_t (&scratch)[1]) noexcept {
  scratch[0] = code_point;
  if (to == Case::same) return {scratch, 1};
  if (code_point < 0x80) {
    const bool is_small = code_point >= 'a' && code_point <= 'z';
    const bool is_capital = code_point >= 'A' && code_point <= 'Z';
    if (to == Case::lower || to == Case::fold ? is_capital : is_small)
      scratch[0] = code_point ^ 0x20;
    return {scratch, 1};
  }
  const CaseTable table = case_table(to);
  const CaseRun* run = range_at(table.runs.data(), table.runs.size(), code_point);
  if (run != nullptr && (code_point - run->first) % run->stride == 0) {
    scratch[0] = static_cast<char32_t>(static_cast<int32_t>(code_point) + run->delta);
    return {scratch, 1};
  }
  const auto found = std::partition_point(
      table.long_mappings.begin(), table.long_mappings.end(),
      [=](const LongMapping& mapping) { return mapping.code_point < code_point; });
  if (found == table.long_mappings.end() || found->code_point != code_point) return {scratch, 1};
  return {found->mapped, found->length};
}

}  // namespace larder::formats::jinja
