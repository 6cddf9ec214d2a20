// Statements.
#include "formats/template/jinja_evaluator.h"
#include "formats/template/jinja_scoped.h"
#include "formats/template/python_str.h"

namespace larder::formats::jinja {

Evaluator::Flow Evaluator::run_block(Block block) {
  for (uint32_t i = 0; i < block.count; ++i) {
    const Flow flow = run_stmt(ast_.stmts[ast_.ids[block.first + i]]);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Evaluator::Flow Evaluator::run_stmt(const Stmt& stmt) {
  budget_.step();
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::text:
      output_->append(ast_.texts[stmt.index], false);
      return Flow::normal;
    case StmtKind::print:
      print(evaluate(stmt.index));
      return Flow::normal;
    case StmtKind::branch:
      return run_branch(ast_.ifs[stmt.index]);
    case StmtKind::loop: {
      const ForStmt& loop = ast_.fors[stmt.index];
      const Value iterable = evaluate(loop.iterable);
      line_ = stmt.line;
      return run_for(stmt.index, iterable, 0);
    }
    case StmtKind::set: {
      const SetStmt& set = ast_.sets[stmt.index];
      check_namespaces(set.target);
      assign(set.target, evaluate(set.value));
      return Flow::normal;
    }
    case StmtKind::set_block:
      return run_set_block(ast_.set_blocks[stmt.index]);
    case StmtKind::macro:
      define_macro(stmt.index);
      return Flow::normal;
    case StmtKind::call_block:
      run_call_block(ast_.call_blocks[stmt.index]);
      return Flow::normal;
    case StmtKind::filter_block:
      return run_filter_block(ast_.filter_blocks[stmt.index]);
    case StmtKind::with:
      return run_with(ast_.withs[stmt.index]);
    case StmtKind::scope:
      return run_scope(ast_.scopes[stmt.index]);
    case StmtKind::break_loop:
      return Flow::break_loop;
    case StmtKind::continue_loop:
      return Flow::continue_loop;
  }
  return Flow::normal;
}

Evaluator::Flow Evaluator::run_branch(const Run& branches) {
  const Nesting nesting(n_nested_, max_nested());
  for (uint32_t i = 0; i < branches.count; ++i) {
    const Branch& branch = ast_.branches[branches.first + i];
    if (branch.test == kNone || truth(budget_, evaluate(branch.test)))
      return run_block(branch.body);
  }
  return Flow::normal;
}

Evaluator::Flow Evaluator::run_set_block(const SetBlockStmt& stmt) {
  const Nesting nesting(n_nested_, max_nested());
  Value text;
  {
    const Replaced scope(scope_, new_scope(scope_));
    const Replaced output(output_, make_ref<TextBuffer>(&budget_.heap));
    const Flow flow = run_block(stmt.body);
    if (flow != Flow::normal) return flow;
    text = Value::string(output_, 0, output_->size());
    if (stmt.filter != kNone) {
      const Replaced captured(captured_, text);
      text = evaluate(stmt.filter);
    }
  }
  check_namespaces(stmt.target);
  assign(stmt.target, text);
  return Flow::normal;
}

Evaluator::Flow Evaluator::run_filter_block(const FilterBlockStmt& stmt) {
  const Nesting nesting(n_nested_, max_nested());
  Value text;
  {
    const Replaced scope(scope_, new_scope(scope_));
    const Replaced output(output_, make_ref<TextBuffer>(&budget_.heap));
    const Flow flow = run_block(stmt.body);
    if (flow != Flow::normal) return flow;
    const Replaced captured(captured_, Value::string(output_, 0, output_->size()));
    text = evaluate(stmt.filter);
  }
  print(text);
  return Flow::normal;
}

Evaluator::Flow Evaluator::run_with(const WithStmt& stmt) {
  const Nesting nesting(n_nested_, max_nested());
  std::vector<Value> values;
  for (uint32_t i = 0; i < stmt.bindings.count; ++i) {
    values.push_back(evaluate(ast_.ids[stmt.bindings.first + 2 * i + 1]));
  }
  const Replaced scope(scope_, new_scope(scope_));
  for (uint32_t i = 0; i < stmt.bindings.count; ++i) {
    assign(ast_.ids[stmt.bindings.first + 2 * i], values[i]);
  }
  return run_block(stmt.body);
}

Evaluator::Flow Evaluator::run_scope(Block body) {
  const Nesting nesting(n_nested_, max_nested());
  const Replaced scope(scope_, new_scope(scope_));
  return run_block(body);
}

void Evaluator::run_call_block(const CallBlockStmt& stmt) {
  const Nesting nesting(n_nested_, max_nested());
  const Expr& expr = ast_.exprs[stmt.call];
  const Value callee = evaluate(expr.a);
  Arguments arguments = evaluate_arguments(ast_.argument_lists[expr.b]);
  const auto caller = make_ref<MacroObject>(budget_, ast_.macros[stmt.macro], "caller", scope_);
  arguments.keyword.emplace_back(Value::literal("caller"), Value::of(Kind::macro, caller));
  line_ = expr.line;
  print(call(callee, std::move(arguments)));
}

void Evaluator::define_macro(uint32_t index) {
  const MacroStmt& macro = ast_.macros[index];
  const auto object = make_ref<MacroObject>(budget_, macro, ast_.strings[macro.name], scope_);
  scope_->set(macro.name, Value::of(Kind::macro, object));
}

void Evaluator::print(const Value& value) {
  if (value.is_undefined()) return;
  const Value text = value.is_string() ? value : to_string(budget_, value);
  budget_.step_bytes(text.size_bytes());
  output_->append(text.buffer(), text.begin(), text.end());
}

void Evaluator::check_namespaces(ExprId id) {
  const Expr& target = ast_.exprs[id];
  if (target.kind == ExprKind::attribute_of && !look_up(target.a).is(Kind::name_space)) {
    fail("cannot assign an attribute to what is no namespace");
  }
  if (target.kind != ExprKind::tuple) return;
  for (uint32_t i = 0; i < target.c; ++i) check_namespaces(ast_.ids[target.b + i]);
}

void Evaluator::assign(ExprId id, const Value& value) {
  const Expr& target = ast_.exprs[id];
  if (target.kind == ExprKind::name) return scope_->set(target.a, value);
  if (target.kind == ExprKind::attribute_of) {
    const Value owner = look_up(target.a);
    if (!owner.is(Kind::name_space)) fail("cannot assign an attribute to what is no namespace");
    return owner.object<Namespace>().attributes->set(budget_, string_value(target.b), value);
  }
  Cursor cursor(budget_, value);
  for (uint32_t i = 0; i < target.c; ++i) {
    const Value item = cursor.next();
    if (item.is_missing())
      fail("not enough values to unpack (expected " + std::to_string(target.c) + ")");
    assign(ast_.ids[target.b + i], item);
  }
  if (!cursor.next().is_missing()) {
    fail("too many values to unpack (expected " + std::to_string(target.c) + ")");
  }
}

}  // namespace larder::formats::jinja
