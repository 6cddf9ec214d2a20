// For loops and what `loop` tells about them.
#include "formats/template/jinja_evaluator.h"
#include "formats/template/jinja_scoped.h"

namespace larder::formats::jinja {

// The next item that passes the loop's test; items are tested as late as Jinja does.
Value Evaluator::pull_item(LoopObject& loop) {
  const ForStmt& stmt = ast_.fors[loop.stmt_index];
  while (true) {
    Value item = loop.cursor->next();
    if (item.is_missing() || stmt.test == kNone) return item;
    const Replaced scope(scope_, new_scope(loop.scope));
    assign(stmt.target, item);
    if (truth(budget_, evaluate(stmt.test))) return value_of_target(stmt.target);
  }
}

// Behind a test Jinja sees what the target unpacked, which makes tuples of lists.
Value Evaluator::value_of_target(ExprId id) {
  const Expr& target = ast_.exprs[id];
  if (target.kind == ExprKind::name) return look_up(target.a);
  std::vector<Value> items;
  for (uint32_t i = 0; i < target.c; ++i) items.push_back(value_of_target(ast_.ids[target.b + i]));
  return make_tuple(budget_, std::move(items));
}

Value Evaluator::take_item(LoopObject& loop) {
  if (loop.n_taken == loop.buffered.size()) return pull_item(loop);
  Value item = std::move(loop.buffered[loop.n_taken++]);
  if (loop.n_taken == loop.buffered.size()) {
    loop.buffered.clear();
    loop.n_taken = 0;
  }
  return item;
}

Value Evaluator::peek_item(LoopObject& loop) {
  if (loop.n_taken < loop.buffered.size()) return loop.buffered[loop.n_taken];
  Value item = pull_item(loop);
  if (!item.is_missing()) loop.buffer(item);
  return item;
}

int64_t Evaluator::loop_length(LoopObject& loop) {
  if (loop.length) return *loop.length;
  if (ast_.fors[loop.stmt_index].test == kNone && loop.cursor->has_size()) {
    loop.length = static_cast<int64_t>(loop.cursor->size());
    return *loop.length;
  }
  for (Value item = pull_item(loop); !item.is_missing(); item = pull_item(loop)) {
    loop.buffer(std::move(item));
  }
  loop.length = loop.index0 + 1 + static_cast<int64_t>(loop.buffered.size() - loop.n_taken);
  return *loop.length;
}

Value Evaluator::loop_attribute(LoopObject& loop, std::string_view name) {
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(peek_item(loop).is_missing());
  if (name == "length") return Value::integer(loop_length(loop));
  if (name == "revindex") return Value::integer(loop_length(loop) - loop.index0);
  if (name == "revindex0") return Value::integer(loop_length(loop) - loop.index0 - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") {
    if (loop.index0 > 0) return loop.before;
    return Value::undefined(UndefinedReason::hint, Value::literal("there is no previous item"));
  }
  if (name == "nextitem") {
    Value next = peek_item(loop);
    if (!next.is_missing()) return next;
    return Value::undefined(UndefinedReason::hint, Value::literal("there is no next item"));
  }
  return {};
}

Evaluator::Flow Evaluator::run_for(uint32_t index, const Value& iterable, int depth0) {
  const Nesting nesting(n_nested_, max_nested());
  const ForStmt& stmt = ast_.fors[index];
  const auto loop = make_ref<LoopObject>(budget_, index, scope_, depth0);
  loop->cursor.emplace(budget_, iterable);
  const Value loop_value = Value::of(Kind::loop, loop);
  Value item = take_item(*loop);
  bool is_completed = false;  // some pass reached the body's end: else is for the others
  if (!item.is_missing()) {
    const Replaced scope(scope_, new_scope(scope_));
    for (; !item.is_missing(); item = take_item(*loop)) {
      budget_.step(2);  // fetching an item and assigning it
      if (scope_->is_shared()) {
        scope_ = new_scope(loop->scope);
      } else {
        scope_->clear_variables();
      }
      ++loop->index0;
      loop->before = std::exchange(loop->current, item);
      assign(stmt.target, item);
      if (stmt.uses_loop) scope_->set(ast_.loop_name, loop_value);
      const Flow flow = run_block(stmt.body);
      is_completed |= flow == Flow::normal;
      if (flow == Flow::break_loop) break;
    }
  }
  if (is_completed || stmt.otherwise.count == 0) return Flow::normal;
  const Replaced scope(scope_, new_scope(scope_));
  return run_block(stmt.otherwise);
}

// loop(items) in a recursive loop: its body over other items.
Value Evaluator::call_loop(LoopObject& loop, Arguments arguments) {
  if (!ast_.fors[loop.stmt_index].is_recursive) {
    fail("the loop must be marked 'recursive' to be called");
  }
  const Bound bound = bind({"iterable", 1}, std::move(arguments), "loop");
  const Nesting nesting(n_macro_calls_, budget_.depth);
  const Replaced scope(scope_, loop.scope);
  const Replaced output(output_, make_ref<TextBuffer>(&budget_.heap));
  run_for(loop.stmt_index, bound[0], loop.depth0 + 1);
  return Value::string(output_, 0, output_->size());
}

}  // namespace larder::formats::jinja
