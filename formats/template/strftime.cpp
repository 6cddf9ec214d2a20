#include "formats/template/strftime.h"

#include <algorithm>
#include <array>
#include <string>

namespace larder::formats::jinja {

namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};

template <size_t n>
std::string_view name_of(const std::array<std::string_view, n>& names, int index) {
  return index >= 0 && static_cast<size_t>(index) < n ? names[static_cast<size_t>(index)] : "?";
}

struct Directive {
  char flag = 0;  // one of "-_0^#"
  int width = -1;
  char letter = 0;
};

std::string number(const Directive& directive, int64_t value, int width, char fill = '0') {
  if (directive.flag == '-') return std::to_string(value);
  if (directive.flag == '_') fill = ' ';
  if (directive.flag == '0') fill = '0';
  std::string digits = std::to_string(value < 0 ? -value : value);
  const auto wanted = static_cast<size_t>(std::max(width, directive.width));
  if (digits.size() < wanted) digits.insert(0, wanted - digits.size(), fill);
  return value < 0 ? "-" + digits : digits;
}

int hour12(const std::tm& time) { return time.tm_hour % 12 == 0 ? 12 : time.tm_hour % 12; }

bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

struct IsoWeek {
  int64_t year;
  int week;
};

// Week 1 holds the year's first Thursday (ISO 8601).
IsoWeek iso_week(const std::tm& time) {
  const int64_t year = int64_t{time.tm_year} + 1900;
  const int weekday = (time.tm_wday + 6) % 7;  // Monday is 0
  const int thursday = time.tm_yday - weekday + 3;
  if (thursday < 0) return {year - 1, (thursday + (is_leap(year - 1) ? 366 : 365)) / 7 + 1};
  const int n_days = is_leap(year) ? 366 : 365;
  if (thursday >= n_days) return {year + 1, 1};
  return {year, thursday / 7 + 1};
}

std::string expand(const Directive& directive, const std::tm& time);

std::string composite(std::string_view format, const std::tm& time) {
  std::string out;
  for (const char c : format) {
    if (c >= 'A' && c <= 'z') {
      out += expand({.letter = c}, time);
    } else {
      out += c;
    }
  }
  return out;
}

std::string expand_number(const Directive& d, const std::tm& time) {
  const int64_t year = int64_t{time.tm_year} + 1900;
  switch (d.letter) {
    case 'C':
      return number(d, year / 100, 2);
    case 'd':
      return number(d, time.tm_mday, 2);
    case 'e':
      return number(d, time.tm_mday, 2, ' ');
    case 'f':
      return "000000";  // microseconds, which std::tm does not hold
    case 'G':
      return number(d, iso_week(time).year, 1);
    case 'g':
      return number(d, iso_week(time).year % 100, 2);
    case 'H':
      return number(d, time.tm_hour, 2);
    case 'I':
      return number(d, hour12(time), 2);
    case 'j':
      return number(d, time.tm_yday + 1, 3);
    case 'k':
      return number(d, time.tm_hour, 2, ' ');
    case 'l':
      return number(d, hour12(time), 2, ' ');
    case 'M':
      return number(d, time.tm_min, 2);
    case 'm':
      return number(d, time.tm_mon + 1, 2);
    case 'S':
      return number(d, time.tm_sec, 2);
    case 'U':
      return number(d, (time.tm_yday + 7 - time.tm_wday) / 7, 2);
    case 'u':
      return number(d, time.tm_wday == 0 ? 7 : time.tm_wday, 1);
    case 'V':
      return number(d, iso_week(time).week, 2);
    case 'W':
      return number(d, (time.tm_yday + 7 - (time.tm_wday + 6) % 7) / 7, 2);
    case 'w':
      return number(d, time.tm_wday, 1);
    case 'Y':
      return number(d, year, 1);
    case 'y':
      return number(d, year % 100, 2);
    default:
      return {};
  }
}

std::string expand(const Directive& d, const std::tm& time) {
  switch (d.letter) {
    case 'a':
      return std::string(name_of(kDays, time.tm_wday).substr(0, 3));
    case 'A':
      return std::string(name_of(kDays, time.tm_wday));
    case 'b':
    case 'h':
      return std::string(name_of(kMonths, time.tm_mon).substr(0, 3));
    case 'B':
      return std::string(name_of(kMonths, time.tm_mon));
    case 'c':
      return composite("a b e H:M:S Y", time);
    case 'D':
    case 'x':
      return composite("m/d/y", time);
    case 'F':
      return composite("Y-m-d", time);
    case 'n':
      return "\n";
    case 'P':
      return time.tm_hour < 12 ? "am" : "pm";
    case 'p':
      return time.tm_hour < 12 ? "AM" : "PM";
    case 'R':
      return composite("H:M", time);
    case 'r':
      return composite("I:M:S p", time);
    case 'T':
    case 'X':
      return composite("H:M:S", time);
    case 't':
      return "\t";
    case '%':
      return "%";
    default:
      return expand_number(d, time);
  }
}

bool is_known(char letter) {
  return std::string_view("aAbBcCdDeFfGgHhIjklMmnPpRrSTtUuVWwXxYyZz%").find(letter) !=
         std::string_view::npos;
}

void fit(const Directive& directive, std::string& text) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (directive.flag == '^') std::transform(text.begin(), text.end(), text.begin(), upper);
  // '#' swaps: names to upper case, AM and PM to lower.
  if (directive.flag == '#') {
    if (directive.letter == 'p') {
      std::transform(text.begin(), text.end(), text.begin(), lower);
    } else {
      std::transform(text.begin(), text.end(), text.begin(), upper);
    }
  }
  if (directive.width > 0 && text.size() < static_cast<size_t>(directive.width)) {
    const char fill = directive.flag == '0' ? '0' : ' ';
    text.insert(0, static_cast<size_t>(directive.width) - text.size(), fill);
  }
}

}  // namespace

Value strftime(Budget& budget, const Value& format, const std::tm& time) {
  constexpr int kMaxWidth = 1024;  // a width is a convenience, not a way to fill memory
  const std::string_view text = format.bytes();
  const bool is_input = format.has_input();
  TextBuilder out(budget);
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '%' || i + 1 == text.size()) {
      const size_t end = std::min(text.find('%', i + 1), text.size());
      out.append(text.substr(i, end - i), is_input);
      i = end;
      continue;
    }
    budget.step();
    Directive directive;
    size_t at = i + 1;
    while (at < text.size() && std::string_view("-_0^#").find(text[at]) != std::string_view::npos) {
      directive.flag = text[at++];
    }
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
      directive.width = std::min(kMaxWidth, std::max(directive.width, 0) * 10 + (text[at++] - '0'));
    }
    if (at == text.size() || !is_known(text[at])) {
      out.append(text.substr(i, at - i), is_input);
      i = at;
      continue;
    }
    directive.letter = text[at];
    std::string expanded = expand(directive, time);
    fit(directive, expanded);
    out.append(expanded, is_input);
    i = at + 1;
  }
  return out.finish();
}

}  // namespace larder::formats::jinja
