#include <algorithm>

#include "formats/template/filter_functions.h"
#include "formats/template/jinja_evaluator.h"
#include "formats/template/text_operations.h"

namespace larder::formats::jinja {

AttributePath::AttributePath(Budget& budget, const Value& attribute) {
  if (attribute.is_missing() || attribute.is_none()) return;
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return;
  }
  for (const Value& part : split_text(budget, attribute, Value::literal("."), -1)) {
    const std::string_view text = part.bytes();
    const bool is_index =
        !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    int64_t index = 0;
    parts_.push_back(is_index && parse_integer(text, 10, index) ? Value::integer(index) : part);
  }
}

Value AttributePath::of(Evaluator& evaluator, Value item, const Value& otherwise) const {
  for (const Value& part : parts_) {
    item = evaluator.item_of(item, part);
    if (item.is_undefined() && !otherwise.is_missing() && !otherwise.is_none()) item = otherwise;
  }
  return item;
}

namespace filters {

namespace {

Value empty_hint(const char* hint) {
  return Value::undefined(UndefinedReason::hint, Value::literal(hint));
}

}  // namespace

Value length(Evaluator& evaluator, const Value& input, const Bound&) {
  return Value::integer(static_cast<int64_t>(length_of(evaluator.budget(), input)));
}

Value list(Evaluator& evaluator, const Value& input, const Bound&) {
  return make_list(evaluator.budget(), to_vector(evaluator.budget(), input));
}

Value first(Evaluator& evaluator, const Value& input, const Bound&) {
  Value item = Cursor(evaluator.budget(), input).next();
  return item.is_missing() ? empty_hint("No first item, sequence was empty.") : item;
}

Value last(Evaluator& evaluator, const Value& input, const Bound&) {
  Budget& budget = evaluator.budget();
  if (input.is(Kind::generator)) fail("'generator' object is not reversible");
  if (input.is_string()) {
    if (input.size_bytes() == 0) return empty_hint("No last item, sequence was empty.");
    return input.slice(code_point_begin(input.bytes(), input.size_bytes()), input.size_bytes());
  }
  if (input.is(Kind::list) || input.is(Kind::tuple) || input.is(Kind::range)) {
    const Sequence& items = input.sequence();
    if (items.size() > 0) return items.at(items.size() - 1);
    return empty_hint("No last item, sequence was empty.");
  }
  std::vector<Value> items = to_vector(budget, input);
  return items.empty() ? empty_hint("No last item, sequence was empty.") : items.back();
}

Value reverse(Evaluator& evaluator, const Value& input, const Bound&) {
  Budget& budget = evaluator.budget();
  if (input.is_string()) return slice(budget, input, {}, {}, Value::integer(-1));
  std::vector<Value> items = to_vector(budget, input);
  std::reverse(items.begin(), items.end());
  return make_generator(budget, std::move(items), "reversed");
}

Value items(Evaluator& evaluator, const Value& input, const Bound&) {
  if (input.is_undefined()) return make_generator(evaluator.budget(), {}, "do_items");
  if (!input.is(Kind::dict)) fail("Can only get item pairs from a mapping.");
  const Value view =
      Value::of(Kind::dict_view, input.object_ref(), static_cast<uint32_t>(DictViewKind::items));
  return make_generator(evaluator.budget(), to_vector(evaluator.budget(), view), "do_items");
}

Value attribute(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  require_string(arguments[0], "the attribute's name");
  require_defined(input);
  Value value = evaluator.method_or_field(input, arguments[0]);
  return value.is_missing()
             ? Value::undefined(UndefinedReason::attribute, arguments[0], input.kind())
             : value;
}

Value default_value(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  const bool is_replaced = input.is_undefined() || (truth(evaluator.budget(), arguments[1]) &&
                                                    !truth(evaluator.budget(), input));
  if (!is_replaced) return input;
  return arguments[0].is_missing() ? Value::literal("") : arguments[0];
}

Value join(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const AttributePath path(budget, arguments[1]);
  const Value separator =
      arguments[0].is_missing() ? Value::literal("") : to_string(budget, arguments[0]);
  TextBuilder out(budget);
  Cursor cursor(budget, input);
  bool is_first = true;
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    budget.step();
    if (!std::exchange(is_first, false)) out.append(separator);
    append_string(out, budget, path.of(evaluator, item));
  }
  return out.finish();
}

Value sum(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const AttributePath path(budget, arguments[0]);
  Value total = arguments[1].is_missing() ? Value::integer(0) : arguments[1];
  if (total.is_string()) fail("sum() cannot sum strings");
  Cursor cursor(budget, input);
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    budget.step();
    total = apply_binary(budget, BinaryOperator::add, std::move(total), path.of(evaluator, item));
  }
  return total;
}

Value batch(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const int64_t size = require_integer(arguments[0], "linecount");
  std::vector<Value> batches, current;
  Cursor cursor(budget, input);
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    // Jinja compares for equality: a size below one never matches but at the very start.
    if (static_cast<int64_t>(current.size()) == size) {
      batches.push_back(make_list(budget, std::exchange(current, {})));
    }
    current.push_back(std::move(item));
  }
  if (!current.empty()) {
    const bool has_fill = !arguments[1].is_missing() && !arguments[1].is_none();
    const auto n = static_cast<int64_t>(current.size());
    if (has_fill && n < size) {
      if (static_cast<uint64_t>(size) > budget.heap.left() / sizeof(Value))
        budget.heap.charge(UINT64_MAX);
      current.resize(static_cast<size_t>(size), arguments[1]);
    }
    batches.push_back(make_list(budget, std::move(current)));
  }
  return make_generator(budget, std::move(batches), "do_batch");
}

Value slices(Evaluator& evaluator, const Value& input, const Bound& arguments) {
  Budget& budget = evaluator.budget();
  const int64_t n = require_integer(arguments[0], "slices");
  if (n == 0) fail("division by zero");
  const std::vector<Value> all = to_vector(budget, input);
  const auto size = static_cast<int64_t>(all.size());
  std::vector<Value> out;
  auto from = all.begin();
  for (int64_t i = 0; i < n; ++i) {
    budget.step();
    const bool is_longer = i < size % n;
    const auto to = from + size / n + (is_longer ? 1 : 0);
    std::vector<Value> part(from, to);
    from = to;
    const bool has_fill = !arguments[1].is_missing() && !arguments[1].is_none();
    if (has_fill && !is_longer) part.push_back(arguments[1]);
    out.push_back(make_list(budget, std::move(part)));
  }
  return make_generator(budget, std::move(out), "do_slice");
}

Value map(Evaluator& evaluator, const Value& input, Arguments arguments) {
  Budget& budget = evaluator.budget();
  std::vector<Value> mapped;
  if (!truth(budget, input)) return make_generator(budget, {}, "do_map");
  const bool is_attribute = arguments.positional.empty();
  const Value attribute = is_attribute ? arguments.take("attribute") : Value();
  if (is_attribute && attribute.is_missing()) fail("map requires a filter argument");
  const Value otherwise = is_attribute ? arguments.take("default") : Value();
  if (is_attribute && !arguments.keyword.empty()) fail("unexpected keyword argument of map");
  const AttributePath path(budget, attribute);
  Value name;
  if (!is_attribute) {
    name = arguments.positional.front();
    arguments.positional.erase(arguments.positional.begin());
  }
  Cursor cursor(budget, input);
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    budget.step();
    if (mapped.size() * sizeof(Value) > budget.heap.left()) budget.heap.charge(UINT64_MAX);
    mapped.push_back(is_attribute ? path.of(evaluator, item, otherwise)
                                  : evaluator.apply_filter(name, item, arguments));
  }
  return make_generator(budget, std::move(mapped), "do_map");
}

namespace {

struct Selection {
  bool by_attribute, wanted;
  const char* name;
};

Value pick(Evaluator& evaluator, const Value& input, Arguments arguments, Selection selection) {
  Budget& budget = evaluator.budget();
  if (!truth(budget, input)) return make_generator(budget, {}, selection.name);
  const size_t n_own = selection.by_attribute ? 1 : 0;
  if (arguments.positional.size() < n_own) fail("missing parameter for the attribute's name");
  const AttributePath path(budget, selection.by_attribute ? arguments.positional[0] : Value());
  const bool has_test = arguments.positional.size() > n_own;
  const Value test = has_test ? arguments.positional[n_own] : Value();
  arguments.positional.erase(
      arguments.positional.begin(),
      arguments.positional.begin() + static_cast<ptrdiff_t>(n_own + has_test));
  std::vector<Value> picked;
  Cursor cursor(budget, input);
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    budget.step();
    const Value subject = path.of(evaluator, item);
    const bool holds =
        has_test ? evaluator.apply_test(test, subject, arguments) : truth(budget, subject);
    if (holds == selection.wanted) picked.push_back(std::move(item));
  }
  return make_generator(budget, std::move(picked), selection.name);
}

}  // namespace

Value select(Evaluator& evaluator, const Value& input, Arguments arguments) {
  return pick(evaluator, input, std::move(arguments), {false, true, "do_select"});
}

Value reject(Evaluator& evaluator, const Value& input, Arguments arguments) {
  return pick(evaluator, input, std::move(arguments), {false, false, "do_reject"});
}

Value select_attribute(Evaluator& evaluator, const Value& input, Arguments arguments) {
  return pick(evaluator, input, std::move(arguments), {true, true, "do_selectattr"});
}

Value reject_attribute(Evaluator& evaluator, const Value& input, Arguments arguments) {
  return pick(evaluator, input, std::move(arguments), {true, false, "do_rejectattr"});
}

}  // namespace filters

}  // namespace larder::formats::jinja
