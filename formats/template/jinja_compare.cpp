#include <cmath>
#include <functional>

#include "formats/template/jinja_operators.h"

namespace larder::formats::jinja {

namespace {

void check_depth(Budget& budget, int depth) {
  if (depth > budget.depth) fail_limit("values nested deeper than " + std::to_string(budget.depth));
}

// Exact: every int64 and every double is a long double wherever it has 64 bits of mantissa.
int compare_numbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return left.as_integer() < right.as_integer() ? -1 : left.as_integer() > right.as_integer();
  }
  const auto wide = [](const Value& v) {
    return v.is(Kind::real) ? static_cast<long double>(v.as_real())
                            : static_cast<long double>(v.as_integer());
  };
  return wide(left) < wide(right) ? -1 : wide(left) > wide(right);
}

bool is_nan(const Value& value) { return value.is(Kind::real) && std::isnan(value.as_real()); }

bool equal_items(Budget& budget, const Sequence& left, const Sequence& right, int depth) {
  if (left.size() != right.size()) return false;
  if (&left == &right) return true;
  for (size_t i = 0; i < left.size(); ++i) {
    if (!equal(budget, left.at(i), right.at(i), depth + 1)) return false;
  }
  return true;
}

bool equal_dicts(Budget& budget, const Dict& left, const Dict& right, int depth) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    const Value other = right.find(budget, left.key_at(i));
    if (other.is_missing() || !equal(budget, left.value_at(i), other, depth + 1)) return false;
  }
  return true;
}

[[noreturn]] void not_ordered(const Value& left, const Value& right) {
  require_defined(left);
  require_defined(right);
  fail("'<' not supported between instances of '" + std::string(type_name(left)) + "' and '" +
       std::string(type_name(right)) + "'");
}

bool is_dict_keys(const Value& value) {
  return value.is(Kind::dict) ||
         (value.is(Kind::dict_view) && DictViewKind{value.detail()} == DictViewKind::keys);
}

}  // namespace

void require_defined(const Value& value) {
  if (value.is_undefined()) fail(value.undefined_message());
}

bool equal(Budget& budget, const Value& left, const Value& right, int depth) {
  check_depth(budget, depth);
  budget.step();
  if (left.is_number() && right.is_number()) {
    return compare_numbers(left, right) == 0 && !is_nan(left) && !is_nan(right);
  }
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      budget.step_bytes(std::min(left.size_bytes(), right.size_bytes()));
      return left.bytes() == right.bytes();
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
      return equal_items(budget, left.sequence(), right.sequence(), depth);
    case Kind::dict:
      return equal_dicts(budget, left.dict(), right.dict(), depth);
    default:
      return left.object_ref().get() == right.object_ref().get() && left.detail() == right.detail();
  }
}

bool less(Budget& budget, const Value& left, const Value& right, int depth) {
  check_depth(budget, depth);
  budget.step();
  if (left.is_number() && right.is_number()) {
    return compare_numbers(left, right) < 0 && !is_nan(left) && !is_nan(right);
  }
  if (left.kind() != right.kind()) not_ordered(left, right);
  if (left.is_string()) {
    budget.step_bytes(std::min(left.size_bytes(), right.size_bytes()));
    return left.bytes() < right.bytes();
  }
  if (!left.is(Kind::list) && !left.is(Kind::tuple)) not_ordered(left, right);
  const Sequence &a = left.sequence(), &b = right.sequence();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const Value x = a.at(i), y = b.at(i);
    if (!equal(budget, x, y, depth + 1)) return less(budget, x, y, depth + 1);
  }
  return a.size() < b.size();
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is_string()) {
    budget.step_bytes(container.size_bytes());
    require_defined(item);
    if (!item.is_string()) {
      fail("'in <string>' requires string as left operand, not " + std::string(type_name(item)));
    }
    return container.bytes().find(item.bytes()) != std::string_view::npos;
  }
  if (is_dict_keys(container)) return !container.dict().find(budget, item).is_missing();
  if (container.is(Kind::range) && item.is_integral()) {
    const auto& range = container.object<Range>();
    if (range.size() == 0) return false;
    const int64_t last = range.at(range.size() - 1).as_integer(), x = item.as_integer();
    const bool is_inside =
        range.step > 0 ? x >= range.start && x <= last : x <= range.start && x >= last;
    return is_inside && (x - range.start) % range.step == 0;
  }
  if (!is_iterable(container)) {
    fail("argument of type '" + std::string(type_name(container)) + "' is not iterable");
  }
  Cursor cursor(budget, container);
  for (Value other = cursor.next(); !other.is_missing(); other = cursor.next()) {
    if (equal(budget, other, item)) return true;
  }
  return false;
}

bool compare(Budget& budget, Comparison op, const Value& left, const Value& right) {
  switch (op) {
    case Comparison::equal:
      return equal(budget, left, right);
    case Comparison::not_equal:
      return !equal(budget, left, right);
    case Comparison::less:
      return less(budget, left, right);
    case Comparison::greater:
      return less(budget, right, left);
    case Comparison::less_equal:
      return less(budget, left, right) || equal(budget, left, right);
    case Comparison::greater_equal:
      return less(budget, right, left) || equal(budget, left, right);
    case Comparison::in:
      return contains(budget, right, left);
    case Comparison::not_in:
      return !contains(budget, right, left);
  }
  return false;
}

uint64_t hash_of(Budget& budget, const Value& value, int depth) {
  check_depth(budget, depth);
  budget.step();
  switch (value.kind()) {
    case Kind::string:
      budget.step_bytes(value.size_bytes());
      return std::hash<std::string_view>()(value.bytes());
    case Kind::boolean:
    case Kind::integer:
      return std::hash<double>()(static_cast<double>(value.as_integer()));
    case Kind::real:
      return std::hash<double>()(value.as_real());
    case Kind::tuple: {
      uint64_t hash = value.sequence().size();
      for (size_t i = 0; i < value.sequence().size(); ++i) {
        // The odd constant is 2^64 over the golden ratio: it spreads the bits of short tuples.
        hash = (hash ^ hash_of(budget, value.sequence().at(i), depth + 1)) * 0x9e3779b97f4a7c15u;
      }
      return hash;
    }
    case Kind::list:
    case Kind::dict:
    case Kind::dict_view:
      fail("unhashable type: '" + std::string(type_name(value)) + "'");
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return static_cast<uint64_t>(value.kind());
    case Kind::range:
      return value.sequence().size();
    default:
      return std::hash<const void*>()(value.object_ref().get()) ^ value.detail();
  }
}

int64_t require_integer(const Value& value, const char* what) {
  require_defined(value);
  if (!value.is_integral()) {
    fail(std::string(what) + " must be an integer, not " + std::string(type_name(value)));
  }
  return value.as_integer();
}

const Value& require_string(const Value& value, const char* what) {
  require_defined(value);
  if (!value.is_string()) {
    fail(std::string(what) + " must be a string, not " + std::string(type_name(value)));
  }
  return value;
}

}  // namespace larder::formats::jinja
