// Filters that compare items.
#include <algorithm>

#include "formats/template/filter_functions.h"
#include "formats/template/jinja_evaluator.h"
#include "formats/template/text_operations.h"

namespace larder::formats::jinja::filters {

namespace {

// What an item is compared by: attributes of it, strings in lower case unless asked otherwise.
struct Keyed {
  Value item, key;
};

Value comparable(Budget& budget, const Value& value, bool is_case_sensitive) {
  return value.is_string() && !is_case_sensitive ? to_lower(budget, value) : value;
}

bool is_set(Evaluator& evaluator, const Value& argument) {
  return truth(evaluator.budget(), argument);
}

std::vector<Keyed> keyed_items(Evaluator& evaluator, const Value& input, const Value& attribute,
                               bool is_case_sensitive, const Value& otherwise = {}) {
  Budget& budget = evaluator.budget();
  const AttributePath path(budget, attribute);
  std::vector<Keyed> items;
  Cursor cursor(budget, input);
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    budget.step();
    if (items.size() * sizeof(Keyed) > budget.heap.left()) budget.heap.charge(UINT64_MAX);
    Value key = comparable(budget, path.of(evaluator, item, otherwise), is_case_sensitive);
    items.push_back({std::move(item), std::move(key)});
  }
  return items;
}

// Stable both ways, as Python's sorted(reverse=...).
template <class Less>
void sort_items(std::vector<Keyed>& items, bool is_reversed, Less is_less) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return is_reversed ? is_less(b.key, a.key) : is_less(a.key, b.key);
  });
}

Value items_of(Budget& budget, std::vector<Keyed> keyed) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (Keyed& entry : keyed) items.push_back(std::move(entry.item));
  return make_list(budget, std::move(items));
}

// "age,name": a list of keys.
std::vector<Keyed> keyed_by_several(Evaluator& evaluator, const Value& input,
                                    const Value& attribute, bool is_case_sensitive) {
  Budget& budget = evaluator.budget();
  std::vector<AttributePath> paths;
  for (const Value& part : split_text(budget, attribute, Value::literal(","), -1)) {
    paths.emplace_back(budget, part);
  }
  std::vector<Keyed> items;
  for (Value& item : to_vector(budget, input)) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths) {
      budget.step();
      keys.push_back(comparable(budget, path.of(evaluator, item), is_case_sensitive));
    }
    items.push_back({std::move(item), make_list(budget, std::move(keys))});
  }
  return items;
}

Value extreme(Evaluator& evaluator, const Value& input, const Bound& arguments, bool is_maximum) {
  Budget& budget = evaluator.budget();
  const auto items = keyed_items(evaluator, input, arguments[1], is_set(evaluator, arguments[0]));
  if (items.empty()) {
    return Value::undefined(UndefinedReason::hint,
                            Value::literal("No aggregated item, sequence was empty."));
  }
  const Keyed* best = &items[0];
  for (const Keyed& entry : items) {
    if (&entry == best) continue;
    const bool is_better =
        is_maximum ? less(budget, best->key, entry.key) : less(budget, entry.key, best->key);
    if (is_better) best = &entry;
  }
  return best->item;
}

}  // namespace

Value minimum(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  return extreme(evaluator, input, arguments, false);
}

Value maximum(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  return extreme(evaluator, input, arguments, true);
}

Value sort(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  const bool is_case_sensitive = is_set(evaluator, arguments[1]);
  const bool has_several =
      arguments[2].is_string() && arguments[2].bytes().find(',') != std::string_view::npos;
  std::vector<Keyed> items =
      has_several ? keyed_by_several(evaluator, input, arguments[2], is_case_sensitive)
                  : keyed_items(evaluator, input, arguments[2], is_case_sensitive);
  // Jinja compares lists of keys, where equal keys need no order.
  sort_items(items, is_set(evaluator, arguments[0]), [&](const Value& a, const Value& b) {
    return !equal(evaluator.budget(), a, b) && less(evaluator.budget(), a, b);
  });
  return items_of(evaluator.budget(), std::move(items));
}

Value unique(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const auto seen = make_ref<DictObject>(budget);
  std::vector<Value> items;
  for (Keyed& entry :
       keyed_items(evaluator, input, arguments[1], is_set(evaluator, arguments[0]))) {
    if (!seen->find(budget, entry.key).is_missing()) continue;
    seen->set(budget, entry.key, Value::none());
    items.push_back(std::move(entry.item));
  }
  return make_generator(budget, std::move(items), "do_unique");
}

Value dict_sort(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const std::string_view by =
      arguments[1].is_missing() ? "key" : require_string(arguments[1], "by").bytes();
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  require_defined(input);
  if (!input.is(Kind::dict)) fail("dictsort needs a dict");
  const Dict& dict = input.dict();
  std::vector<Keyed> items;
  for (size_t i = 0; i < dict.size(); ++i) {
    Value key = dict.key_at(i), value = dict.value_at(i);
    const Value sort_key =
        comparable(budget, by == "key" ? key : value, is_set(evaluator, arguments[0]));
    items.push_back({make_tuple(budget, {std::move(key), std::move(value)}), sort_key});
  }
  sort_items(items, is_set(evaluator, arguments[2]),
             [&](const Value& a, const Value& b) { return less(budget, a, b); });
  return items_of(budget, std::move(items));
}

Value group_by(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const bool is_case_sensitive = is_set(evaluator, arguments[2]);
  std::vector<Keyed> items =
      keyed_items(evaluator, input, arguments[0], is_case_sensitive, arguments[1]);
  sort_items(items, false, [&](const Value& a, const Value& b) { return less(budget, a, b); });
  const AttributePath path(budget, arguments[0]);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin;
    std::vector<Value> members;
    while (end < items.size() && equal(budget, items[begin].key, items[end].key)) {
      members.push_back(items[end++].item);
    }
    if (end == begin) members.push_back(items[end++].item);  // a NaN equals nothing
    const Value grouper = path.of(evaluator, members[0], arguments[1]);
    const Value pair = make_tuple(budget, {grouper, make_list(budget, std::move(members))});
    groups.push_back(Value::of(Kind::tuple, pair.object_ref(), kGroupTuple));
    begin = end;
  }
  return make_list(budget, std::move(groups));
}

}  // namespace larder::formats::jinja::filters
