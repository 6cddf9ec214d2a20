#include "formats/template/jinja_operators.h"

#include <array>
#include <cmath>

#include "formats/template/python_str.h"

namespace larder::formats::jinja {

namespace {

[[noreturn]] void integer_overflow() { fail("an integer beyond 64 bits"); }
[[noreturn]] void division_by_zero() { fail("division by zero"); }

[[noreturn]] void unsupported(BinaryOperator op, const Value& left, const Value& right) {
  static constexpr std::array<const char*, 7> kSigns = {"+", "-", "*", "/", "//", "%", "**"};
  require_defined(left);
  require_defined(right);
  fail("unsupported operand type(s) for " + std::string(kSigns[static_cast<size_t>(op)]) + ": '" +
       std::string(type_name(left)) + "' and '" + std::string(type_name(right)) + "'");
}

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) division_by_zero();
  if (a == INT64_MIN && b == -1) integer_overflow();
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == 0) division_by_zero();
  if (b == -1) return 0;  // INT64_MIN % -1 traps
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_modulo(double a, double b) {
  if (b == 0) division_by_zero();
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
  if (b == 0) division_by_zero();
  const double quotient = (a - floor_modulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double rounded = std::floor(quotient);
  return quotient - rounded > 0.5 ? rounded + 1 : rounded;
}

Value power(const Value& base, const Value& exponent) {
  if (base.is_integral() && exponent.is_integral() && exponent.as_integer() >= 0) {
    int64_t result = 1, factor = base.as_integer();
    for (auto n = static_cast<uint64_t>(exponent.as_integer()); n > 0; n >>= 1) {
      if ((n & 1) != 0 && __builtin_mul_overflow(result, factor, &result)) integer_overflow();
      if (n > 1 && __builtin_mul_overflow(factor, factor, &factor)) integer_overflow();
    }
    return Value::integer(result);
  }
  const double a = base.as_real(), b = exponent.as_real();
  if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
  const double result = std::pow(a, b);
  if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) fail("a complex power");
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b))
    fail("numerical result out of range");
  return Value::real(result);
}

Value integer_arithmetic(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  switch (op) {
    case BinaryOperator::add:
      overflows = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::subtract:
      overflows = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::multiply:
      overflows = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::floor_divide:
      result = floor_divide(a, b);
      break;
    case BinaryOperator::modulo:
      result = floor_modulo(a, b);
      break;
    case BinaryOperator::divide:
      if (b == 0) division_by_zero();
      return Value::real(
          static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case BinaryOperator::power:
      return power(Value::integer(a), Value::integer(b));
  }
  if (overflows) integer_overflow();
  return Value::integer(result);
}

Value real_arithmetic(BinaryOperator op, const Value& left, const Value& right) {
  const double a = left.as_real(), b = right.as_real();
  switch (op) {
    case BinaryOperator::add:
      return Value::real(a + b);
    case BinaryOperator::subtract:
      return Value::real(a - b);
    case BinaryOperator::multiply:
      return Value::real(a * b);
    case BinaryOperator::divide:
      if (b == 0) division_by_zero();
      return Value::real(a / b);
    case BinaryOperator::floor_divide:
      return Value::real(floor_divide(a, b));
    case BinaryOperator::modulo:
      return Value::real(floor_modulo(a, b));
    case BinaryOperator::power:
      return power(left, right);
  }
  return {};
}

Value repeat(Budget& budget, const Value& value, int64_t count) {
  const auto n = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  if (value.is_string()) {
    const uint64_t size = value.size_bytes();
    if (size != 0 && n > budget.heap.left() / size) budget.heap.charge(UINT64_MAX);
    TextBuilder out(budget);
    if (size != 0) {
      budget.step(n);
      for (uint64_t i = 0; i < n; ++i) out.append(value);
    }
    return out.finish().with_markup(value.is_markup());
  }
  const Sequence& items = value.sequence();
  if (items.size() != 0 && n > budget.heap.left() / (items.size() * sizeof(Value))) {
    budget.heap.charge(UINT64_MAX);
  }
  std::vector<Value> repeated;
  repeated.reserve(items.size() * n);
  budget.step_items(items.size() * n);
  for (uint64_t k = 0; k < n && items.size() != 0; ++k) {
    for (size_t i = 0; i < items.size(); ++i) repeated.push_back(items.at(i));
  }
  return Value::of(value.kind(), make_ref<ListObject>(budget, std::move(repeated)));
}

bool is_repeatable(const Value& value) {
  return value.is_string() || value.is(Kind::list) || value.is(Kind::tuple);
}

Value join_sequences(Budget& budget, const Value& left, const Value& right) {
  const Sequence &a = left.sequence(), &b = right.sequence();
  if ((a.size() + b.size()) * sizeof(Value) > budget.heap.left()) budget.heap.charge(UINT64_MAX);
  std::vector<Value> items;
  items.reserve(a.size() + b.size());
  for (size_t i = 0; i < a.size(); ++i) items.push_back(a.at(i));
  for (size_t i = 0; i < b.size(); ++i) items.push_back(b.at(i));
  return Value::of(left.kind(), make_ref<ListObject>(budget, std::move(items)));
}

// Python's rule for one slice bound; `is_down` for negative steps.
int64_t clamp_bound(const Value& bound, int64_t size, int64_t if_none, bool is_down) {
  if (bound.is_missing() || bound.is_none()) return if_none;
  int64_t index = require_integer(bound, "slice indices");
  if (index < 0)
    index = index < -size ? -1 : index + size;  // -1: before the first
  else if (index >= size)
    return is_down ? size - 1 : size;
  if (index < 0) return is_down ? -1 : 0;
  return index;
}

}  // namespace

Value apply_binary(Budget& budget, BinaryOperator op, Value left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return integer_arithmetic(op, left.as_integer(), right.as_integer());
  }
  if (left.is_number() && right.is_number()) return real_arithmetic(op, left, right);
  if (op == BinaryOperator::add) {
    if (left.is_string() && right.is_string()) return concatenate(budget, std::move(left), right);
    const bool is_sequence = left.is(Kind::list) || left.is(Kind::tuple);
    if (is_sequence && left.kind() == right.kind()) return join_sequences(budget, left, right);
  }
  if (op == BinaryOperator::multiply) {
    if (is_repeatable(left) && right.is_integral()) return repeat(budget, left, right.as_integer());
    if (is_repeatable(right) && left.is_integral()) return repeat(budget, right, left.as_integer());
  }
  if (op == BinaryOperator::modulo && left.is_string()) {
    return percent_format(budget, left, right);
  }
  unsupported(op, left, right);
}

Value negate(const Value& value) {
  require_defined(value);
  if (value.is(Kind::real)) return Value::real(-value.as_real());
  if (!value.is_integral())
    fail("bad operand type for unary -: '" + std::string(type_name(value)) + "'");
  if (value.as_integer() == INT64_MIN) integer_overflow();
  return Value::integer(-value.as_integer());
}

Value concatenate(Budget& budget, Value left, const Value& right) {
  if (left.is_markup() != right.is_markup()) {
    const Value a = left.is_markup() ? left : escape_html(budget, left);
    const Value b = right.is_markup() ? right : escape_html(budget, right);
    return concatenate(budget, a, b);
  }
  if (right.size_bytes() == 0) return left;
  if (left.size_bytes() == 0) return right;
  budget.step_bytes(right.size_bytes());
  if (left.buffer().can_grow() && left.end() == left.buffer().size()) {
    auto& buffer = left.object<TextBuffer>();
    const size_t begin = left.begin();
    buffer.append(right.buffer(), right.begin(), right.end());
    const bool is_markup = left.is_markup();
    return Value::string(Ref<TextBuffer>(&buffer), begin, buffer.size()).with_markup(is_markup);
  }
  TextBuilder out(budget);
  out.append(left);
  out.append(right);
  return out.finish().with_markup(left.is_markup());
}

Value slice(Budget& budget, const Value& value, const Value& start, const Value& stop,
            const Value& step) {
  require_defined(value);
  const int64_t stride =
      step.is_missing() || step.is_none() ? 1 : require_integer(step, "slice indices");
  if (stride == 0) fail("slice step cannot be zero");
  const bool is_sequence = value.is(Kind::list) || value.is(Kind::tuple) || value.is(Kind::range);
  if (!is_sequence && !value.is_string()) {
    fail("'" + std::string(type_name(value)) + "' object is not subscriptable");
  }
  const auto size = static_cast<int64_t>(length_of(budget, value));
  const bool is_down = stride < 0;
  const int64_t begin = clamp_bound(start, size, is_down ? size - 1 : 0, is_down);
  const int64_t end = clamp_bound(stop, size, is_down ? -1 : size, is_down);
  if (value.is_string() && stride == 1) {
    budget.step_bytes(value.size_bytes());
    if (begin >= end) return value.slice(0, 0);
    const std::string_view text = value.bytes();
    const size_t first = offset_of_code_point(text, static_cast<size_t>(begin));
    const size_t n = offset_of_code_point(text.substr(first), static_cast<size_t>(end - begin));
    return value.slice(first, first + n);
  }
  if (value.is(Kind::range)) {
    const auto& range = value.object<Range>();
    const auto place = [&](int64_t index) { return range.start + index * range.step; };
    int64_t combined = 0;
    if (__builtin_mul_overflow(range.step, stride, &combined)) integer_overflow();
    return Value::of(Kind::range, make_ref<Range>(budget, place(begin), place(end), combined));
  }
  const std::vector<Value> items = to_vector(budget, value);
  std::vector<Value> picked;
  for (int64_t i = begin; is_down ? i > end : i < end;) {
    picked.push_back(items[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  if (!value.is_string()) {
    return Value::of(value.kind(), make_ref<ListObject>(budget, std::move(picked)));
  }
  TextBuilder out(budget);
  for (const Value& character : picked) out.append(character);
  return out.finish().with_markup(value.is_markup());
}

Value escape_html(Budget& budget, const Value& string) {
  static constexpr std::string_view kSpecial = "&<>'\"";
  static constexpr std::array<std::string_view, 5> kEntities = {"&amp;", "&lt;", "&gt;", "&#39;",
                                                                "&#34;"};
  if (string.is_markup()) return string;
  const std::string_view text = string.bytes();
  if (text.find_first_of(kSpecial) == std::string_view::npos) return string.with_markup(true);
  TextBuilder out(budget);
  size_t plain = 0;
  for (size_t at = text.find_first_of(kSpecial); at != std::string_view::npos;
       at = text.find_first_of(kSpecial, plain)) {
    out.append(string.slice(plain, at));
    out.append(kEntities[kSpecial.find(text[at])], string.slice(at, at + 1).has_input());
    plain = at + 1;
  }
  out.append(string.slice(plain, text.size()));
  return out.finish().with_markup(true);
}

}  // namespace larder::formats::jinja
