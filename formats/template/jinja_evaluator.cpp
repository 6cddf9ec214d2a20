// Expressions.
#include "formats/template/jinja_evaluator.h"

#include "formats/template/jinja_filters.h"
#include "formats/template/python_str.h"

namespace larder::formats::jinja {

namespace {

bool is_dunder(std::string_view name) {
  return name.size() >= 4 && name.substr(0, 2) == "__" && name.substr(name.size() - 2) == "__";
}

}  // namespace

// Iterative, for the data are a stranger's.
Evaluator::DataFacts Evaluator::survey(const DataValue& variables, int max_depth) {
  DataFacts facts{0, 0};
  std::vector<std::pair<const DataValue*, int>> open{{&variables, 1}};
  while (!open.empty()) {
    const auto [value, depth] = open.back();
    open.pop_back();
    facts.n_bytes += sizeof(DataValue) + value->string.size();
    facts.depth = std::max(facts.depth, depth);
    if (depth > max_depth) {
      fail_limit("the variables nest deeper than " + std::to_string(max_depth));
    }
    for (const DataValue& item : value->list) open.emplace_back(&item, depth + 1);
    for (const auto& [key, member] : value->dict) {
      facts.n_bytes += sizeof(key) + key.size();
      open.emplace_back(&member, depth + 1);
    }
  }
  return facts;
}

Evaluator::Evaluator(const Ast& ast, const TemplateLimits& limits, const DataValue& variables,
                     const std::tm& now)
    : Evaluator(ast, limits, variables, now, survey(variables, limits.depth)) {}

Evaluator::Evaluator(const Ast& ast, const TemplateLimits& limits, const DataValue& variables,
                     const std::tm& now, DataFacts facts)
    : ast_(ast),
      variables_(variables),
      now_(now),
      data_depth_(facts.depth),
      budget_(limits, facts.n_bytes),
      strings_(ast.strings.size()),
      roots_(ast.strings.size()),
      output_(make_ref<TextBuffer>(&budget_.output)),
      scope_(make_ref<Scope>(registry_, budget_, Ref<Scope>())) {}

Evaluator::~Evaluator() { registry_.break_cycles(); }

MarkedText Evaluator::run() {
  run_block(ast_.root);
  return output_->take();
}

const Value& Evaluator::string_value(StringId id) {
  Value& value = strings_[id];
  if (value.is_missing()) value = Value::literal(ast_.strings[id]);
  return value;
}

Value Evaluator::look_up(StringId name) {
  size_t n_scopes = 0;
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent()) {
    if (const Value* value = scope->find(name)) return *value;
    if (++n_scopes % 8 == 0) budget_.step();
  }
  Value& root = roots_[name];
  if (root.is_missing()) root = root_value(name);
  return root;
}

Value Evaluator::root_value(StringId id) {
  const std::string_view name = ast_.strings[id];
  if (const DataValue* data = variables_.find(name)) {
    const bool is_input = name == "messages" || name == "tools" || name == "documents";
    return wrap_data(*data, {is_input, data_depth_});
  }
  if (const auto function = find_global(name)) {
    return Value::of(Kind::function, {}, static_cast<uint32_t>(*function));
  }
  return Value::undefined(UndefinedReason::variable, string_value(id));
}

Value Evaluator::evaluate(ExprId id) {
  const Nesting nesting(n_nested_, max_nested());
  const size_t base = chain_.size();
  for (; is_chained(ast_.exprs[id].kind); id = ast_.exprs[id].a) chain_.push_back(id);
  budget_.step();
  line_ = ast_.exprs[id].line;
  Value value = evaluate_leaf(ast_.exprs[id]);
  while (chain_.size() > base) {
    const Expr& expr = ast_.exprs[chain_.back()];
    chain_.pop_back();
    budget_.step();
    line_ = expr.line;
    value = extend(expr, std::move(value));
  }
  return value;
}

Value Evaluator::evaluate_leaf(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::boolean:
      return Value::boolean(expr.a != 0);
    case ExprKind::integer:
      return Value::integer(ast_.integers[expr.a]);
    case ExprKind::real:
      return Value::real(ast_.reals[expr.a]);
    case ExprKind::string:
      return string_value(expr.a);
    case ExprKind::name:
      return look_up(expr.a);
    case ExprKind::captured:
      return captured_;
    case ExprKind::list:
      return make_list(budget_, evaluate_all({expr.b, expr.c}));
    case ExprKind::tuple:
      return make_tuple(budget_, evaluate_all({expr.b, expr.c}));
    case ExprKind::dict:
      return evaluate_dict(expr);
    case ExprKind::conditional:
      if (truth(budget_, evaluate(expr.a))) return evaluate(expr.b);
      if (expr.c != kNone) return evaluate(expr.c);
      return Value::undefined(UndefinedReason::hint,
                              Value::literal("the inline if-expression was false and has no else"));
    default:
      return Value::none();
  }
}

std::vector<Value> Evaluator::evaluate_all(Run run) {
  std::vector<Value> values;
  values.reserve(run.count);
  for (uint32_t i = 0; i < run.count; ++i) values.push_back(evaluate(ast_.ids[run.first + i]));
  return values;
}

Value Evaluator::evaluate_dict(const Expr& expr) {
  const auto dict = make_ref<DictObject>(budget_);
  for (uint32_t i = 0; i < expr.c; i += 2) {
    const Value key = evaluate(ast_.ids[expr.b + i]);
    dict->set(budget_, key, evaluate(ast_.ids[expr.b + i + 1]));
  }
  return Value::of(Kind::dict, dict);
}

// What a link of a chain makes of the operand before it.
Value Evaluator::extend(const Expr& expr, Value operand) {
  switch (expr.kind) {
    case ExprKind::attribute:
      return attribute_of(operand, string_value(expr.b));
    case ExprKind::item:
      return extend_item(expr, operand);
    case ExprKind::call: {
      Arguments arguments = evaluate_arguments(ast_.argument_lists[expr.b]);
      line_ = expr.line;
      return call(operand, std::move(arguments));
    }
    case ExprKind::filter: {
      const ArgumentList& list = ast_.argument_lists[expr.b];
      return run_filter(*this, expr.c, ast_.strings[list.name], operand, evaluate_arguments(list));
    }
    case ExprKind::test: {
      const ArgumentList& list = ast_.argument_lists[expr.b];
      return Value::boolean(
          run_test(*this, expr.c, ast_.strings[list.name], operand, evaluate_arguments(list)));
    }
    case ExprKind::negate:
      return negate(operand);
    case ExprKind::positive:
      require_defined(operand);
      if (!operand.is_number()) fail("bad operand type for unary +");
      return operand.is(Kind::boolean) ? Value::integer(operand.as_integer()) : operand;
    case ExprKind::logical_not:
      return Value::boolean(!truth(budget_, operand));
    case ExprKind::binary: {
      const Value right = evaluate(expr.b);
      line_ = expr.line;
      return apply_binary(budget_, BinaryOperator{expr.op}, std::move(operand), right);
    }
    case ExprKind::logical_and:
      return truth(budget_, operand) ? evaluate(expr.b) : operand;
    case ExprKind::logical_or:
      return truth(budget_, operand) ? operand : evaluate(expr.b);
    case ExprKind::compare:
      return extend_compare(expr, std::move(operand));
    case ExprKind::concatenate:
      return extend_concatenation(expr, operand);
    default:
      return operand;
  }
}

Value Evaluator::extend_compare(const Expr& expr, Value left) {
  for (uint32_t i = 0; i < expr.c; i += 2) {
    const auto comparison = static_cast<Comparison>(ast_.ids[expr.b + i]);
    Value right = evaluate(ast_.ids[expr.b + i + 1]);
    line_ = expr.line;
    if (!compare(budget_, comparison, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Evaluator::extend_concatenation(const Expr& expr, const Value& first) {
  TextBuilder out(budget_);
  std::vector<Value> rest = evaluate_all({expr.b, expr.c});
  append_string(out, budget_, first);
  for (const Value& value : rest) append_string(out, budget_, value);
  return out.finish();
}

Value Evaluator::extend_item(const Expr& expr, const Value& operand) {
  const Expr& index = ast_.exprs[expr.b];
  if (index.kind != ExprKind::slice) return item_of(operand, evaluate(expr.b));
  const auto bound = [this](ExprId id) { return id == kNone ? Value() : evaluate(id); };
  const Value start = bound(index.a), stop = bound(index.b), step = bound(index.c);
  line_ = expr.line;
  return slice(budget_, operand, start, stop, step);
}

Arguments Evaluator::evaluate_arguments(const ArgumentList& list) {
  Arguments arguments;
  arguments.positional = evaluate_all(list.positional);
  for (uint32_t i = 0; i < list.keyword.count; ++i) {
    const uint32_t at = list.keyword.first + 2 * i;
    arguments.keyword.emplace_back(string_value(ast_.ids[at]), evaluate(ast_.ids[at + 1]));
  }
  if (list.star != kNone) {
    for (Value& value : to_vector(budget_, evaluate(list.star))) {
      arguments.positional.push_back(std::move(value));
    }
  }
  if (list.double_star != kNone) {
    const Value extra = evaluate(list.double_star);
    if (!extra.is(Kind::dict)) fail("argument after ** must be a mapping");
    budget_.step(extra.dict().size());
    for (size_t i = 0; i < extra.dict().size(); ++i) {
      const Value key = extra.dict().key_at(i);
      require_string(key, "a keyword");
      arguments.keyword.emplace_back(key, extra.dict().value_at(i));
    }
  }
  return arguments;
}

Value Evaluator::method_or_field(const Value& object, const Value& name) {
  const std::string_view text = name.bytes();
  if (is_dunder(text)) return Value::undefined(UndefinedReason::unsafe, name, object.kind());
  if (object.is(Kind::name_space)) {
    Value value = object.object<Namespace>().attributes->find(budget_, name);
    const bool is_private = !value.is_missing() && text.substr(0, 1) == "_";
    return is_private ? Value::undefined(UndefinedReason::unsafe, name, object.kind()) : value;
  }
  if (object.is(Kind::loop)) {
    Value value = loop_attribute(object.object<LoopObject>(), text);
    if (!value.is_missing()) return value;
  }
  if (object.is(Kind::cycler) && text == "current") {
    const auto& cycler = object.object<CyclerObject>();
    return cycler.items[cycler.position];
  }
  if (object.is(Kind::macro) && text == "name")
    return Value::literal(object.object<MacroObject>().name());
  if (object.is(Kind::tuple) && object.detail() == kGroupTuple) {
    if (text == "grouper") return object.sequence().at(0);
    if (text == "list") return object.sequence().at(1);
  }
  bool is_unsafe = false;
  const MethodSpec* method = find_method(object, text, is_unsafe);
  if (is_unsafe) return Value::undefined(UndefinedReason::unsafe, name, object.kind());
  if (method == nullptr) return {};
  return Value::of(Kind::method, make_ref<MethodObject>(budget_, *method, object));
}

Value Evaluator::own_item(const Value& object, const Value& index) {
  if (object.is(Kind::dict)) {
    const bool is_hashable = !index.is(Kind::list) && !index.is(Kind::dict);
    return is_hashable ? object.dict().find(budget_, index) : Value();
  }
  if (!index.is_integral()) return {};
  const bool is_sequence =
      object.is(Kind::list) || object.is(Kind::tuple) || object.is(Kind::range);
  if (!is_sequence && !object.is_string()) return {};
  const auto size = static_cast<int64_t>(length_of(budget_, object));
  const int64_t wanted = index.as_integer();
  const int64_t at = wanted < 0 ? wanted + size : wanted;
  if (at < 0 || at >= size) return {};
  if (is_sequence) return object.sequence().at(static_cast<size_t>(at));
  return slice(budget_, object, Value::integer(at), Value::integer(at + 1), {});
}

Value Evaluator::attribute_of(const Value& object, const Value& name) {
  require_defined(object);
  Value value = method_or_field(object, name);
  if (value.is_missing()) value = own_item(object, name);
  if (!value.is_missing()) return value;
  return Value::undefined(UndefinedReason::attribute, name, object.kind());
}

Value Evaluator::item_of(const Value& object, const Value& index) {
  require_defined(object);
  Value value = own_item(object, index);
  if (value.is_missing() && index.is_string()) value = method_or_field(object, index);
  if (!value.is_missing()) return value;
  const auto reason = index.is_string() ? UndefinedReason::attribute : UndefinedReason::element;
  return Value::undefined(reason, index, object.kind());
}

}  // namespace larder::formats::jinja
