// Methods of dicts, lists, loops and numbers, as Python has them.
#include <algorithm>
#include <cmath>

#include "formats/template/jinja_evaluator.h"

namespace larder::formats::jinja {

namespace {

Value dict_get(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Value value = self.dict().find(evaluator.budget(), arguments[0]);
  if (!value.is_missing()) return value;
  return arguments[1].is_missing() ? Value::none() : arguments[1];
}

template <DictViewKind kind>
Value dict_view(Evaluator&, const Value& self, const Bound&) {
  return Value::of(Kind::dict_view, self.object_ref(), static_cast<uint32_t>(kind));
}

Value copied(Evaluator&, const Value& self, const Bound&) { return self; }  // nothing changes it

constexpr MethodSpec kDictMethods[] = {
    {"copy", {""}, copied, nullptr},
    {"get", {"key default", 1}, dict_get, nullptr},
    {"items", {""}, dict_view<DictViewKind::items>, nullptr},
    {"keys", {""}, dict_view<DictViewKind::keys>, nullptr},
    {"values", {""}, dict_view<DictViewKind::values>, nullptr},
};

Value list_count(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  int64_t n = 0;
  Cursor cursor(budget, self);
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    n += equal(budget, item, arguments[0]) ? 1 : 0;
  }
  return Value::integer(n);
}

Value list_index(Evaluator& evaluator, const Value& self, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  Cursor cursor(budget, self);
  int64_t at = 0;
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next(), ++at) {
    if (equal(budget, item, arguments[0])) return Value::integer(at);
  }
  fail("the value is not in the list");
}

constexpr MethodSpec kListMethods[] = {
    {"copy", {""}, copied, nullptr},
    {"count", {"value", 1}, list_count, nullptr},
    {"index", {"value", 1}, list_index, nullptr},
};

Value loop_cycle(Evaluator&, const Value& self, Arguments arguments) {
  if (!arguments.keyword.empty()) fail("cycle() takes no keyword arguments");
  if (arguments.positional.empty()) fail("no items for cycling given");
  const auto index = static_cast<size_t>(std::max<int64_t>(0, self.object<LoopObject>().index0));
  return arguments.positional[index % arguments.positional.size()];
}

Value loop_changed(Evaluator& evaluator, const Value& self, Arguments arguments) {
  auto& last = self.object<LoopObject>().last_changed;
  std::vector<Value>& now = arguments.positional;
  const bool is_same =
      last && last->size() == now.size() &&
      std::equal(now.begin(), now.end(), last->begin(),
                 [&](const Value& a, const Value& b) { return equal(evaluator.budget(), a, b); });
  if (!is_same) last = std::move(now);
  return Value::boolean(!is_same);
}

constexpr MethodSpec kLoopMethods[] = {
    {"changed", {}, nullptr, loop_changed},
    {"cycle", {}, nullptr, loop_cycle},
};

Value cycler_next(Evaluator&, const Value& self, const Bound&) {
  auto& cycler = self.object<CyclerObject>();
  const Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}

Value cycler_reset(Evaluator&, const Value& self, const Bound&) {
  self.object<CyclerObject>().position = 0;
  return Value::none();
}

constexpr MethodSpec kCyclerMethods[] = {
    {"next", {""}, cycler_next, nullptr},
    {"reset", {""}, cycler_reset, nullptr},
};

Value real_is_integer(Evaluator&, const Value& self, const Bound&) {
  return Value::boolean(std::isfinite(self.as_real()) &&
                        std::trunc(self.as_real()) == self.as_real());
}

constexpr MethodSpec kRealMethods[] = {
    {"is_integer", {""}, real_is_integer, nullptr},
};

template <size_t n>
const MethodSpec* find_in(const MethodSpec (&methods)[n], std::string_view name) {
  const auto found = std::find_if(std::begin(methods), std::end(methods),
                                  [name](const MethodSpec& spec) { return spec.name == name; });
  return found == std::end(methods) ? nullptr : found;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const MethodSpec* find_method(const Value& value, std::string_view name, bool& is_unsafe) {
  is_unsafe = false;
  switch (value.kind()) {
    case Kind::string:
      return find_string_method(name);
    case Kind::dict:
      is_unsafe = is_one_of(name, {"clear", "pop", "popitem", "setdefault", "update"});
      return find_in(kDictMethods, name);
    case Kind::list:
      is_unsafe = is_one_of(
          name, {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
      return find_in(kListMethods, name);
    case Kind::tuple:
    case Kind::range:
      return name == "copy" ? nullptr : find_in(kListMethods, name);
    case Kind::loop:
      return find_in(kLoopMethods, name);
    case Kind::cycler:
      return find_in(kCyclerMethods, name);
    case Kind::real:
      return find_in(kRealMethods, name);
    default:
      return nullptr;
  }
}

}  // namespace larder::formats::jinja
