// Recursive descent over template tokens; nesting is bounded, chains are loops.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/template/jinja_ast.h"
#include "formats/template/jinja_lexer.h"
#include "formats/template/jinja_operators.h"

namespace larder::formats::jinja {

class Parser {
 public:
  // REQUIRES: `source` outlives the Ast, and has normalized newlines.
  Parser(std::string_view source, int max_depth);
  Ast parse();  // throws Failure (template_syntax, template_limit)

 private:
  struct TargetRules {
    bool may_be_tuple = true, may_be_attribute = false;
  };
  struct TupleRules {
    bool with_conditional = true, is_parenthesized = false;
  };

  // Statements.
  Block parse_block(std::initializer_list<std::string_view> ends);
  Block parse_body(std::initializer_list<std::string_view> ends, bool skip_end);
  void parse_statement(std::vector<uint32_t>& out);
  void parse_if(std::vector<uint32_t>& out, uint32_t line);
  void parse_for(std::vector<uint32_t>& out, uint32_t line);
  void parse_set(std::vector<uint32_t>& out, uint32_t line);
  void parse_macro(std::vector<uint32_t>& out, uint32_t line);
  void parse_call_block(std::vector<uint32_t>& out, uint32_t line);
  void parse_filter_block(std::vector<uint32_t>& out, uint32_t line);
  void parse_with(std::vector<uint32_t>& out, uint32_t line);
  void parse_named_block(std::vector<uint32_t>& out, uint32_t line);
  void parse_scope(std::vector<uint32_t>& out, uint32_t line, std::string_view end);
  void parse_print(std::vector<uint32_t>& out);
  Run parse_parameters();
  uint32_t parse_macro_body(MacroStmt macro, std::string_view end);
  ExprId parse_target(TargetRules rules);
  StringId parse_target_name();

  // Expressions.
  ExprId parse_tuple(TupleRules rules);
  ExprId parse_expression(bool with_conditional = true);
  ExprId parse_conditional();
  ExprId parse_or();
  ExprId parse_and();
  ExprId parse_not();
  ExprId parse_compare();
  ExprId parse_sum();
  ExprId parse_concatenation();
  ExprId parse_product();
  ExprId parse_power();
  ExprId parse_unary();
  ExprId parse_primary();
  ExprId parse_name();
  ExprId parse_list();
  ExprId parse_dict();
  ExprId parse_call(ExprId operand);
  ExprId parse_postfix(ExprId operand);
  ExprId parse_filters_and_tests(ExprId operand);
  ExprId parse_subscript(ExprId operand);
  ExprId parse_subscribed();
  ExprId parse_filters(ExprId operand, bool is_inline);
  ExprId parse_test(ExprId operand);
  uint32_t parse_arguments(StringId name);
  bool take_comparison(Comparison& comparison);

  // Tokens.
  const Token& look();  // the token after the current one
  void advance();
  bool at_operation(std::string_view op) const { return token_.is_operation(op); }
  bool at_name(std::string_view name) const { return token_.is_name(name); }
  bool skip_operation(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operation(std::string_view op);
  void expect(TokenKind kind, const char* what);
  StringId expect_name();
  StringId parse_dotted_name();
  std::string describe_token() const;
  [[noreturn]] void fail_syntax(std::string message, uint32_t line) const;
  [[noreturn]] void fail_syntax(std::string message) const;

  // Nodes.
  ExprId add(Expr expr);
  uint32_t add_stmt(StmtKind kind, uint32_t line, size_t index);
  StringId intern(std::string_view string);
  Run add_ids(const std::vector<uint32_t>& ids);
  uint32_t resolve(const char* what, StringId name, std::optional<uint32_t> found);
  void check_resolved() const;
  void note_load(std::string_view name);

  Lexer lexer_;
  Token token_, lookahead_;
  bool has_lookahead_ = false;
  const int max_depth_;
  int depth_ = 0;
  int loop_depth_ = 0;  // loops that break and continue may mean
  int n_enclosing_fors_ = 0;
  Ast ast_;
  std::unordered_map<std::string, StringId> interned_;
  struct Unresolved {
    const char* what;
    StringId name;
    uint32_t line;
  };
  // Unknown filters and tests; those inside an if are forgiven until they are used.
  std::vector<Unresolved> unresolved_;
  std::vector<MacroStmt> open_macros_;
  std::vector<bool> open_loops_;  // whether the body mentions `loop`
};

}  // namespace larder::formats::jinja
