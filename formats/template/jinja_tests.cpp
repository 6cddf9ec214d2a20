// Tests: `x is defined` and the like.
#include <algorithm>

#include "formats/template/jinja_evaluator.h"
#include "formats/template/jinja_filters.h"
#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

namespace {

bool is_cased_as(const Value& text, bool is_upper_wanted) {
  bool has_cased = false;
  for (size_t at = 0; at < text.size_bytes();) {
    const DecodedChar c = decode_utf8(text.bytes(), at);
    at += c.n_bytes;
    const bool is_other = is_upper_wanted ? is_lower(c.code_point) : is_upper(c.code_point);
    if (is_other || is_title(c.code_point) != (is_upper(c.code_point) && is_title(c.code_point))) {
      return false;
    }
    has_cased |= is_upper_wanted ? is_upper(c.code_point) : is_lower(c.code_point);
  }
  return has_cased;
}

int64_t modulo(Evaluator& evaluator, const Value& value, const Value& by) {
  const Value rest = apply_binary(evaluator.budget(), BinaryOperator::modulo, value, by);
  if (rest.is(Kind::real)) return rest.as_real() == 0 ? 0 : rest.as_real() == 1 ? 1 : 2;
  return rest.is_integral() ? rest.as_integer() : 2;
}

bool is_callable(const Value& value) {
  switch (value.kind()) {
    case Kind::macro:
    case Kind::function:
    case Kind::method:
    case Kind::loop:
    case Kind::joiner:
    case Kind::undefined:  // it has a __call__, which raises
      return true;
    default:
      return false;
  }
}

bool is_sequence(const Value& value) {
  switch (value.kind()) {
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::range:
    case Kind::undefined:
      return true;
    default:
      return false;
  }
}

bool is_same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::none:
      return true;
    case Kind::boolean:
    case Kind::integer:
      return a.as_integer() == b.as_integer();
    case Kind::string:
      return a.bytes() == b.bytes();
    default:
      return a.object_ref().get() != nullptr && a.object_ref().get() == b.object_ref().get();
  }
}

template <Comparison op>
bool compares(Evaluator& evaluator, const Value& a, const Value& b) {
  return compare(evaluator.budget(), op, a, b);
}

template <Kind kind>
bool has_kind(Evaluator&, const Value& value, const Value&) {
  return value.is(kind);
}

constexpr TestSpec kTests[] = {
    {"!=", 1, compares<Comparison::not_equal>},
    {"<", 1, compares<Comparison::less>},
    {"<=", 1, compares<Comparison::less_equal>},
    {"==", 1, compares<Comparison::equal>},
    {">", 1, compares<Comparison::greater>},
    {">=", 1, compares<Comparison::greater_equal>},
    {"boolean", 0, has_kind<Kind::boolean>},
    {"callable", 0, [](Evaluator&, const Value& v, const Value&) { return is_callable(v); }},
    {"defined", 0, [](Evaluator&, const Value& v, const Value&) { return !v.is_undefined(); }},
    {"divisibleby", 1,
     [](Evaluator& e, const Value& v, const Value& by) { return modulo(e, v, by) == 0; }},
    {"eq", 1, compares<Comparison::equal>},
    {"equalto", 1, compares<Comparison::equal>},
    {"escaped", 0, [](Evaluator&, const Value& v, const Value&) { return v.is_markup(); }},
    {"even", 0,
     [](Evaluator& e, const Value& v, const Value&) {
       return modulo(e, v, Value::integer(2)) == 0;
     }},
    {"false", 0,
     [](Evaluator&, const Value& v, const Value&) { return v.is(Kind::boolean) && !v.as_bool(); }},
    {"filter", 0,
     [](Evaluator& e, const Value& v, const Value&) {
       hash_of(e.budget(), v);  // fails for lists and dicts, as Python's lookup
       return v.is_string() && find_filter(v.bytes()).has_value();
     }},
    {"float", 0, has_kind<Kind::real>},
    {"ge", 1, compares<Comparison::greater_equal>},
    {"greaterthan", 1, compares<Comparison::greater>},
    {"gt", 1, compares<Comparison::greater>},
    {"in", 1, compares<Comparison::in>},
    {"integer", 0, has_kind<Kind::integer>},
    {"iterable", 0,
     [](Evaluator&, const Value& v, const Value&) { return is_iterable(v) || v.is(Kind::loop); }},
    {"le", 1, compares<Comparison::less_equal>},
    {"lessthan", 1, compares<Comparison::less>},
    {"lower", 0,
     [](Evaluator& e, const Value& v, const Value&) {
       return is_cased_as(to_string(e.budget(), v), false);
     }},
    {"lt", 1, compares<Comparison::less>},
    {"mapping", 0, has_kind<Kind::dict>},
    {"ne", 1, compares<Comparison::not_equal>},
    {"none", 0, has_kind<Kind::none>},
    {"number", 0, [](Evaluator&, const Value& v, const Value&) { return v.is_number(); }},
    {"odd", 0,
     [](Evaluator& e, const Value& v, const Value&) {
       return modulo(e, v, Value::integer(2)) == 1;
     }},
    {"sameas", 1, [](Evaluator&, const Value& a, const Value& b) { return is_same(a, b); }},
    {"sequence", 0, [](Evaluator&, const Value& v, const Value&) { return is_sequence(v); }},
    {"string", 0, has_kind<Kind::string>},
    {"test", 0,
     [](Evaluator& e, const Value& v, const Value&) {
       hash_of(e.budget(), v);
       return v.is_string() && find_test(v.bytes()).has_value();
     }},
    {"true", 0,
     [](Evaluator&, const Value& v, const Value&) { return v.is(Kind::boolean) && v.as_bool(); }},
    {"undefined", 0, has_kind<Kind::undefined>},
    {"upper", 0,
     [](Evaluator& e, const Value& v, const Value&) {
       return is_cased_as(to_string(e.budget(), v), true);
     }},
};

static_assert(std::is_sorted(std::begin(kTests), std::end(kTests),
                             [](const TestSpec& a, const TestSpec& b) { return a.name < b.name; }));

}  // namespace

std::optional<uint32_t> find_test(std::string_view name) {
  const auto found =
      std::lower_bound(std::begin(kTests), std::end(kTests), name,
                       [](const TestSpec& spec, std::string_view n) { return spec.name < n; });
  if (found == std::end(kTests) || found->name != name) return std::nullopt;
  return static_cast<uint32_t>(found - std::begin(kTests));
}

bool run_test(Evaluator& evaluator, uint32_t id, std::string_view name, const Value& input,
              Arguments arguments) {
  if (id == kNone) fail("there is no test named '" + std::string(name) + "'");
  const TestSpec& spec = kTests[id];
  const Signature signature{spec.n_arguments == 0 ? "" : "other", spec.n_arguments};
  if (spec.name == "divisibleby") {
    const Bound bound = bind({"num", 1}, std::move(arguments), spec.name);
    return spec.holds(evaluator, input, bound[0]);
  }
  const Bound bound = bind(signature, std::move(arguments), spec.name);
  if (spec.name == "in") return contains(evaluator.budget(), bound[0], input);
  return spec.holds(evaluator, input, bound[0]);
}

}  // namespace larder::formats::jinja
