// Calls of macros, methods and globals.
#include "formats/template/jinja_evaluator.h"
#include "formats/template/jinja_scoped.h"
#include "formats/template/python_str.h"
#include "formats/template/strftime.h"

namespace larder::formats::jinja {

Value Evaluator::call(const Value& callee, Arguments arguments) {
  const Nesting nesting(n_nested_, max_nested());
  switch (callee.kind()) {
    case Kind::undefined:
      fail(callee.undefined_message());
    case Kind::macro:
      return call_macro(callee.object<MacroObject>(), std::move(arguments));
    case Kind::method: {
      const auto& method = callee.object<MethodObject>();
      const MethodSpec& spec = method.spec();
      if (spec.call_variadic != nullptr) {
        return spec.call_variadic(*this, method.self(), std::move(arguments));
      }
      return spec.call(*this, method.self(), bind(spec.signature, std::move(arguments), spec.name));
    }
    case Kind::function:
      return call_global(GlobalFunction{callee.detail()}, std::move(arguments));
    case Kind::loop:
      return call_loop(callee.object<LoopObject>(), std::move(arguments));
    case Kind::joiner: {
      auto& joiner = callee.object<JoinerObject>();
      return std::exchange(joiner.is_used, true) ? joiner.separator : Value::literal("");
    }
    default:
      fail("'" + std::string(type_name(callee)) + "' object is not callable");
  }
}

Value Evaluator::call_macro(const MacroObject& macro, Arguments arguments) {
  const Nesting nesting(n_macro_calls_, budget_.depth);
  const Ref<const MacroObject> kept(&macro);
  const uint32_t line = line_;
  const Replaced scope(scope_, new_scope(macro.scope()));
  const Replaced output(output_, make_ref<TextBuffer>(&budget_.heap));
  bind_parameters(macro, arguments);
  run_block(macro.stmt().body);
  line_ = line;
  return Value::string(output_, 0, output_->size());
}

// In the macro's own scope, which is the current one: defaults see the parameters before them.
void Evaluator::bind_parameters(const MacroObject& macro, Arguments& arguments) {
  const MacroStmt& stmt = macro.stmt();
  const uint32_t n = stmt.parameters.count;
  bool has_caller = false, has_kwargs = false, has_varargs = false;
  for (uint32_t i = 0; i < n; ++i) {
    const StringId name = ast_.ids[stmt.parameters.first + 2 * i];
    const ExprId otherwise = ast_.ids[stmt.parameters.first + 2 * i + 1];
    const std::string_view text = ast_.strings[name];
    has_caller |= text == "caller";
    has_kwargs |= text == "kwargs";
    has_varargs |= text == "varargs";
    Value value = i < arguments.positional.size() ? arguments.positional[i] : arguments.take(text);
    if (value.is_missing() && otherwise != kNone) value = evaluate(otherwise);
    if (value.is_missing()) {
      value = Value::undefined(UndefinedReason::variable, string_value(name));
    }
    scope_->set(name, std::move(value));
  }
  if (stmt.uses_caller && !has_caller) {
    Value caller = arguments.take("caller");
    if (caller.is_missing()) {
      caller = Value::undefined(UndefinedReason::hint, Value::literal("No caller defined"));
    }
    scope_->set(ast_.caller_name, std::move(caller));
  }
  if (stmt.uses_kwargs && !has_kwargs) {
    const auto kwargs = make_ref<DictObject>(budget_);
    for (auto& [name, value] : arguments.keyword) kwargs->set(budget_, name, std::move(value));
    arguments.keyword.clear();
    scope_->set(ast_.kwargs_name, Value::of(Kind::dict, kwargs));
  }
  const std::string subject = "macro '" + std::string(macro.name()) + "'";
  if (!arguments.keyword.empty()) {
    fail(subject + " takes no argument '" + std::string(arguments.keyword[0].first.bytes()) + "'");
  }
  const size_t n_extra = arguments.positional.size() > n ? arguments.positional.size() - n : 0;
  if (stmt.uses_varargs && !has_varargs) {
    const auto end = arguments.positional.end();
    std::vector<Value> extra(end - static_cast<ptrdiff_t>(n_extra), end);
    scope_->set(ast_.varargs_name, make_tuple(budget_, std::move(extra)));
  } else if (n_extra > 0) {
    fail(subject + " takes not more than " + std::to_string(n) + " arguments");
  }
}

Value Evaluator::call_global(GlobalFunction function, Arguments arguments) {
  switch (function) {
    case GlobalFunction::range:
      return make_range(std::move(arguments));
    case GlobalFunction::dict:
      return make_dict(std::move(arguments));
    case GlobalFunction::name_space:
      return make_namespace(std::move(arguments));
    case GlobalFunction::cycler:
      if (!arguments.keyword.empty()) fail("cycler() takes no keyword arguments");
      if (arguments.positional.empty()) fail("cycler() needs at least one item");
      return Value::of(Kind::cycler,
                       make_ref<CyclerObject>(budget_, std::move(arguments.positional)));
    case GlobalFunction::joiner: {
      const Bound bound = bind({"sep"}, std::move(arguments), "joiner");
      const Value separator = bound[0].is_missing() ? Value::literal(", ") : bound[0];
      return Value::of(Kind::joiner, make_ref<JoinerObject>(budget_, separator));
    }
    case GlobalFunction::raise_exception: {
      const Bound bound = bind({"message", 1}, std::move(arguments), "raise_exception");
      fail(std::string(to_string(budget_, bound[0]).bytes()));
    }
    case GlobalFunction::strftime_now: {
      const Bound bound = bind({"format", 1}, std::move(arguments), "strftime_now");
      return strftime(budget_, require_string(bound[0], "the format"), now_);
    }
  }
  return {};
}

Value Evaluator::make_range(Arguments arguments) {
  const Bound bound = bind({"start stop step", 1}, std::move(arguments), "range");
  const int64_t first = require_integer(bound[0], "range()'s argument");
  const bool has_stop = !bound[1].is_missing();
  const int64_t second = has_stop ? require_integer(bound[1], "range()'s argument") : first;
  const int64_t step = bound[2].is_missing() ? 1 : require_integer(bound[2], "range()'s argument");
  return Value::of(Kind::range, make_ref<Range>(budget_, has_stop ? first : 0, second, step));
}

namespace {

// dict(*args, **kwargs)
void fill_dict(Budget& budget, DictObject& dict, Arguments arguments) {
  if (arguments.positional.size() > 1) fail("dict expected at most 1 argument");
  for (const Value& source : arguments.positional) {
    if (source.is(Kind::dict)) {
      for (size_t i = 0; i < source.dict().size(); ++i) {
        dict.set(budget, source.dict().key_at(i), source.dict().value_at(i));
      }
      continue;
    }
    for (const Value& entry : to_vector(budget, source)) {
      const std::vector<Value> pair = to_vector(budget, entry);
      if (pair.size() != 2) fail("dict() needs pairs of key and value");
      dict.set(budget, pair[0], pair[1]);
    }
  }
  for (auto& [name, value] : arguments.keyword) dict.set(budget, name, std::move(value));
}

}  // namespace

Value Evaluator::make_dict(Arguments arguments) {
  const auto dict = make_ref<DictObject>(budget_);
  fill_dict(budget_, *dict, std::move(arguments));
  return Value::of(Kind::dict, dict);
}

Value Evaluator::make_namespace(Arguments arguments) {
  const auto space = make_ref<Namespace>(registry_, budget_);
  fill_dict(budget_, *space->attributes, std::move(arguments));
  return Value::of(Kind::name_space, space);
}

}  // namespace larder::formats::jinja
