#include <array>
#include <charconv>
#include <cmath>

#include "formats/template/filter_functions.h"
#include "formats/template/jinja_evaluator.h"
#include "formats/template/python_str.h"

namespace larder::formats::jinja::filters {

namespace {

// 10^308 is the largest power of ten a double holds.
constexpr int64_t kMaxDigits = 308;

int64_t truncated(double value) {
  // 2^63: the first double above int64.
  if (!(value > -9223372036854775809.0 && value < 9223372036854775808.0)) {
    fail("an integer beyond 64 bits");
  }
  return static_cast<int64_t>(value);
}

// Correctly rounded in decimal, ties of the exact binary value to even, as Python's round().
double round_real(double value, int64_t n_digits) {
  if (!std::isfinite(value) || n_digits > kMaxDigits) return value;
  if (n_digits < -kMaxDigits) return std::copysign(0.0, value);
  if (n_digits < 0) {
    const double power = std::pow(10.0, static_cast<double>(-n_digits));
    return std::nearbyint(value / power) * power;
  }
  // Sign, 309 digits, point, 308 decimals.
  std::array<char, 700> buffer;
  const auto printed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                     std::chars_format::fixed, static_cast<int>(n_digits));
  double rounded = value;
  std::from_chars(buffer.data(), printed.ptr, rounded);
  return rounded;
}

int64_t round_integer(int64_t value, int64_t n_digits) {
  if (n_digits >= 0) return value;
  if (n_digits < -19) return 0;
  __int128 power = 1;
  for (int64_t i = 0; i < -n_digits; ++i) power *= 10;
  __int128 quotient = value / power, rest = value % power;
  if (rest < 0) {
    rest += power;
    --quotient;
  }
  if (2 * rest > power || (2 * rest == power && quotient % 2 != 0)) ++quotient;
  const __int128 rounded = quotient * power;
  if (rounded > INT64_MAX || rounded < INT64_MIN) fail("an integer beyond 64 bits");
  return static_cast<int64_t>(rounded);
}

}  // namespace

Value absolute(Evaluator&, const Value& input, const Bound&) {
  require_defined(input);
  if (input.is(Kind::real)) return Value::real(std::fabs(input.as_real()));
  if (!input.is_integral())
    fail("bad operand type for abs(): '" + std::string(type_name(input)) + "'");
  return input.as_integer() < 0 ? negate(input) : Value::integer(input.as_integer());
}

Value round(Evaluator&, const Value& input, const Bound& arguments) {
  require_defined(input);
  const int64_t digits = arguments[0].is_missing() ? 0 : require_integer(arguments[0], "precision");
  const std::string_view method =
      arguments[1].is_missing() ? "common" : require_string(arguments[1], "method").bytes();
  if (!input.is_number()) fail("cannot round a " + std::string(type_name(input)));
  if (method == "common") {
    if (input.is_integral()) return Value::integer(round_integer(input.as_integer(), digits));
    return Value::real(round_real(input.as_real(), digits));
  }
  if (method != "ceil" && method != "floor") fail("method must be common, ceil or floor");
  const double power = std::pow(10.0, static_cast<double>(digits));
  const double scaled = input.as_real() * power;
  if (!std::isfinite(scaled)) fail("cannot round a number that is not finite");
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / power);
}

Value to_int(Evaluator&, const Value& input, const Bound& arguments) {
  require_defined(input);
  const Value otherwise = arguments[0].is_missing() ? Value::integer(0) : arguments[0];
  const int64_t base = arguments[1].is_missing() ? 10 : require_integer(arguments[1], "base");
  if (input.is_integral()) return Value::integer(input.as_integer());
  if (input.is(Kind::real)) {
    if (std::isinf(input.as_real())) fail("cannot convert infinity to an integer");
    return std::isnan(input.as_real()) ? otherwise : Value::integer(truncated(input.as_real()));
  }
  if (!input.is_string()) return otherwise;
  int64_t integer = 0;
  if ((base == 0 || (base >= 2 && base <= 36)) &&
      parse_integer(input.bytes(), static_cast<int>(base), integer)) {
    return Value::integer(integer);
  }
  double real = 0;
  if (!parse_real(input.bytes(), real) || !std::isfinite(real)) return otherwise;
  return Value::integer(truncated(real));
}

Value to_float(Evaluator&, const Value& input, const Bound& arguments) {
  require_defined(input);
  double real = 0;
  if (input.is_number()) return Value::real(input.as_real());
  if (input.is_string() && parse_real(input.bytes(), real)) return Value::real(real);
  return arguments[0].is_missing() ? Value::real(0) : arguments[0];
}

Value file_size(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  static constexpr std::string_view kUnits = "kMGTPEZY";
  const bool is_binary = truth(evaluator.budget(), arguments[0]);
  double n_bytes = 0;
  if (input.is_number()) {
    n_bytes = input.as_real();
  } else if (!input.is_string() || !parse_real(input.bytes(), n_bytes)) {
    fail("filesizeformat needs a number");
  }
  const double base = is_binary ? 1024 : 1000;
  if (n_bytes == 1) return make_string(evaluator.budget(), "1 Byte");
  if (n_bytes < base) {
    return make_string(evaluator.budget(), std::to_string(truncated(n_bytes)) + " Bytes");
  }
  double unit = base;
  size_t i = 0;
  do unit *= base;
  while (++i < kUnits.size() && n_bytes >= unit);
  std::array<char, 400> buffer;
  const auto printed = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                     base * n_bytes / unit, std::chars_format::fixed, 1);
  std::string text(buffer.data(), printed.ptr);
  const char letter = kUnits[i - 1];
  text += ' ';
  text += is_binary && letter == 'k' ? 'K' : letter;
  return make_string(evaluator.budget(), text + (is_binary ? "iB" : "B"));
}

}  // namespace larder::formats::jinja::filters
