// Runs a parsed template: one evaluator, one render.
#pragma once

#include <ctime>
#include <string_view>
#include <vector>

#include "formats/template/chat_template.h"
#include "formats/template/jinja_ast.h"
#include "formats/template/jinja_callable.h"
#include "formats/template/jinja_nesting.h"
#include "formats/template/jinja_operators.h"

namespace larder::formats::jinja {

class Evaluator {
 public:
  // REQUIRES: everything outlives the evaluator; `variables` is a dict.
  Evaluator(const Ast& ast, const TemplateLimits& limits, const DataValue& variables,
            const std::tm& now);
  ~Evaluator();

  MarkedText run();  // throws Failure
  uint32_t line() const noexcept { return line_; }

  // What filters, tests and methods need.
  Budget& budget() noexcept { return budget_; }
  CyclicRegistry& registry() noexcept { return registry_; }
  const std::tm& now() const noexcept { return now_; }
  Value attribute_of(const Value& object, const Value& name);
  // Missing where getattr() fails.
  Value method_or_field(const Value& object, const Value& name);
  Value item_of(const Value& object, const Value& index);
  Value call(const Value& callee, Arguments arguments);
  Value apply_filter(const Value& name, const Value& input, Arguments arguments);
  bool apply_test(const Value& name, const Value& input, Arguments arguments);

 private:
  enum class Flow : uint8_t { normal, break_loop, continue_loop };

  // Statements (jinja_statements.cpp).
  Flow run_block(Block block);
  Flow run_stmt(const Stmt& stmt);
  Flow run_branch(const Run& branches);
  Flow run_set_block(const SetBlockStmt& stmt);
  Flow run_filter_block(const FilterBlockStmt& stmt);
  Flow run_with(const WithStmt& stmt);
  Flow run_scope(Block body);
  Flow run_for(uint32_t index, const Value& iterable, int depth0);
  void run_call_block(const CallBlockStmt& stmt);
  Value call_loop(LoopObject& loop, Arguments arguments);
  void define_macro(uint32_t index);
  void print(const Value& value);
  void assign(ExprId target, const Value& value);
  void check_namespaces(ExprId target);

  // Loops (jinja_loops.cpp).
  Value pull_item(LoopObject& loop);
  Value value_of_target(ExprId id);
  Value take_item(LoopObject& loop);
  Value peek_item(LoopObject& loop);
  int64_t loop_length(LoopObject& loop);
  Value loop_attribute(LoopObject& loop, std::string_view name);

  // Expressions.
  Value evaluate(ExprId id);
  Value evaluate_leaf(const Expr& expr);
  Value extend(const Expr& expr, Value operand);
  Value extend_compare(const Expr& expr, Value left);
  Value extend_concatenation(const Expr& expr, const Value& first);
  Value extend_item(const Expr& expr, const Value& operand);
  std::vector<Value> evaluate_all(Run run);
  Value evaluate_dict(const Expr& expr);
  Arguments evaluate_arguments(const ArgumentList& list);
  // Missing where [] fails.
  Value own_item(const Value& object, const Value& index);
  Value look_up(StringId name);
  Value root_value(StringId name);
  const Value& string_value(StringId id);

  // Calls (jinja_calls.cpp).
  Value call_macro(const MacroObject& macro, Arguments arguments);
  void bind_parameters(const MacroObject& macro, Arguments& arguments);
  Value call_global(GlobalFunction function, Arguments arguments);
  Value make_range(Arguments arguments);
  Value make_dict(Arguments arguments);
  Value make_namespace(Arguments arguments);

  Ref<Scope> new_scope(const Ref<Scope>& parent) {
    return make_ref<Scope>(registry_, budget_, parent);
  }
  int max_nested() const noexcept { return kFramesPerDepth * budget_.depth; }
  // Frames that a level of the template's nesting may take: statement, expression, arguments, ...
  static constexpr int kFramesPerDepth = 8;

  struct DataFacts {
    uint64_t n_bytes;
    int depth;
  };
  static DataFacts survey(const DataValue& variables, int max_depth);
  Evaluator(const Ast& ast, const TemplateLimits& limits, const DataValue& variables,
            const std::tm& now, DataFacts facts);

  const Ast& ast_;
  const DataValue& variables_;
  const std::tm now_;
  const int data_depth_;
  Budget budget_;
  CyclicRegistry registry_;
  std::vector<Value> strings_;  // by StringId, made on first use
  std::vector<Value> roots_;    // variables and globals by StringId
  std::vector<ExprId> chain_;   // operands still to be applied, innermost last
  Ref<TextBuffer> output_;
  Ref<Scope> scope_;
  Value captured_;
  int n_macro_calls_ = 0;
  int n_nested_ = 0;
  uint32_t line_ = 0;
};

}  // namespace larder::formats::jinja
