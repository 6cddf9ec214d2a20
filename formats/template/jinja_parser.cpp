// Statements; expressions are in jinja_expressions.cpp.
#include "formats/template/jinja_parser.h"

#include <algorithm>

#include "formats/template/jinja_budget.h"
#include "formats/template/jinja_nesting.h"

namespace larder::formats::jinja {

Parser::Parser(std::string_view source, int max_depth) : lexer_(source), max_depth_(max_depth) {
  advance();
}

Ast Parser::parse() {
  ast_.loop_name = intern("loop");
  ast_.caller_name = intern("caller");
  ast_.kwargs_name = intern("kwargs");
  ast_.varargs_name = intern("varargs");
  ast_.root = parse_block({});
  check_resolved();
  return std::move(ast_);
}

// Statements up to one of the end tags, which becomes the current token; without ends, all.
Block Parser::parse_block(std::initializer_list<std::string_view> ends) {
  const Nesting nesting(depth_, max_depth_, token_.line);
  const uint32_t begin_line = token_.line;
  std::vector<uint32_t> body;
  while (token_.kind != TokenKind::end) {
    const uint32_t line = token_.line;
    if (token_.kind == TokenKind::data) {
      ast_.texts.push_back(token_.text);
      body.push_back(add_stmt(StmtKind::text, line, ast_.texts.size() - 1));
      advance();
    } else if (token_.kind == TokenKind::variable_begin) {
      advance();
      body.push_back(add_stmt(StmtKind::print, line, parse_tuple({})));
      expect(TokenKind::variable_end, "'}}'");
    } else {
      expect(TokenKind::block_begin, "a tag");
      if (std::any_of(ends.begin(), ends.end(), [this](auto end) { return at_name(end); })) {
        return add_ids(body);
      }
      parse_statement(body);
      expect(TokenKind::block_end, "'%}'");
    }
  }
  if (ends.size() > 0) {
    fail_syntax("the template ends without {% " + std::string(*(ends.end() - 1)) +
                " %} for the block of line " + std::to_string(begin_line));
  }
  return add_ids(body);
}

Block Parser::parse_body(std::initializer_list<std::string_view> ends, bool skip_end) {
  skip_operation(":");
  expect(TokenKind::block_end, "'%}'");
  const Block body = parse_block(ends);
  if (skip_end) advance();
  return body;
}

void Parser::parse_statement(std::vector<uint32_t>& out) {
  if (token_.kind != TokenKind::name) fail_syntax("expected a tag name, got " + describe_token());
  const uint32_t line = token_.line;
  const std::string_view tag = token_.text;
  advance();
  if (tag == "if") return parse_if(out, line);
  if (tag == "for") return parse_for(out, line);
  if (tag == "set") return parse_set(out, line);
  if (tag == "macro") return parse_macro(out, line);
  if (tag == "call") return parse_call_block(out, line);
  if (tag == "filter") return parse_filter_block(out, line);
  if (tag == "with") return parse_with(out, line);
  if (tag == "print") return parse_print(out);
  if (tag == "block") return parse_named_block(out, line);
  if (tag == "generation") return parse_scope(out, line, "endgeneration");
  if (tag == "autoescape") {
    parse_expression();
    return parse_scope(out, line, "endautoescape");
  }
  if (tag == "break" || tag == "continue") {
    if (loop_depth_ == 0) fail_syntax("'" + std::string(tag) + "' outside of a loop", line);
    out.push_back(
        add_stmt(tag == "break" ? StmtKind::break_loop : StmtKind::continue_loop, line, 0));
    return;
  }
  if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
    fail_syntax("{% " + std::string(tag) + " %} is not supported: there are no other templates",
                line);
  }
  fail_syntax("unknown or misplaced tag '" + std::string(tag) + "'", line);
}

void Parser::parse_if(std::vector<uint32_t>& out, uint32_t line) {
  const size_t n_unresolved = unresolved_.size();
  std::vector<Branch> branches;
  bool is_more = true;
  while (is_more) {
    const ExprId test = parse_tuple({.with_conditional = false});
    branches.push_back({test, parse_body({"elif", "else", "endif"}, false)});
    is_more = skip_name("elif");
  }
  if (skip_name("else")) branches.push_back({kNone, parse_body({"endif"}, false)});
  advance();  // endif
  unresolved_.resize(n_unresolved);
  ast_.ifs.push_back(
      {static_cast<uint32_t>(ast_.branches.size()), static_cast<uint32_t>(branches.size())});
  ast_.branches.insert(ast_.branches.end(), branches.begin(), branches.end());
  out.push_back(add_stmt(StmtKind::branch, line, ast_.ifs.size() - 1));
}

void Parser::parse_for(std::vector<uint32_t>& out, uint32_t line) {
  ForStmt loop{};
  ++n_enclosing_fors_;
  loop.target = parse_target({});
  if (!skip_name("in")) fail_syntax("expected 'in', got " + describe_token());
  loop.iterable = parse_tuple({.with_conditional = false});
  loop.test = skip_name("if") ? parse_expression() : kNone;
  loop.is_recursive = skip_name("recursive");
  ++loop_depth_;
  open_loops_.push_back(loop.is_recursive);
  loop.body = parse_body({"endfor", "else"}, false);
  loop.uses_loop = open_loops_.back();
  open_loops_.pop_back();
  --loop_depth_;
  if (skip_name("else")) loop.otherwise = parse_body({"endfor"}, false);
  advance();  // endfor
  --n_enclosing_fors_;
  ast_.fors.push_back(loop);
  out.push_back(add_stmt(StmtKind::loop, line, ast_.fors.size() - 1));
}

void Parser::parse_set(std::vector<uint32_t>& out, uint32_t line) {
  const ExprId target = parse_target({.may_be_attribute = true});
  if (skip_operation("=")) {
    ast_.sets.push_back({target, parse_tuple({})});
    out.push_back(add_stmt(StmtKind::set, line, ast_.sets.size() - 1));
    return;
  }
  SetBlockStmt block{target, kNone, {}};
  if (at_operation("|")) block.filter = parse_filters(add({.kind = ExprKind::captured}), false);
  block.body = parse_body({"endset"}, true);
  ast_.set_blocks.push_back(block);
  out.push_back(add_stmt(StmtKind::set_block, line, ast_.set_blocks.size() - 1));
}

void Parser::parse_macro(std::vector<uint32_t>& out, uint32_t line) {
  MacroStmt macro;
  macro.name = parse_target_name();
  macro.parameters = parse_parameters();
  out.push_back(add_stmt(StmtKind::macro, line, parse_macro_body(macro, "endmacro")));
}

void Parser::parse_call_block(std::vector<uint32_t>& out, uint32_t line) {
  MacroStmt caller;
  if (at_operation("(")) caller.parameters = parse_parameters();
  const ExprId call = parse_expression();
  if (ast_.exprs[call].kind != ExprKind::call) fail_syntax("expected a call", line);
  const uint32_t macro = parse_macro_body(caller, "endcall");
  ast_.call_blocks.push_back({macro, call});
  out.push_back(add_stmt(StmtKind::call_block, line, ast_.call_blocks.size() - 1));
}

void Parser::parse_filter_block(std::vector<uint32_t>& out, uint32_t line) {
  FilterBlockStmt block{};
  block.filter = parse_filters(add({.kind = ExprKind::captured}), true);
  block.body = parse_body({"endfilter"}, true);
  ast_.filter_blocks.push_back(block);
  out.push_back(add_stmt(StmtKind::filter_block, line, ast_.filter_blocks.size() - 1));
}

void Parser::parse_with(std::vector<uint32_t>& out, uint32_t line) {
  std::vector<uint32_t> bindings;
  while (token_.kind != TokenKind::block_end) {
    if (!bindings.empty()) expect_operation(",");
    bindings.push_back(parse_target({}));
    expect_operation("=");
    bindings.push_back(parse_expression());
  }
  WithStmt with{add_ids(bindings), {}};
  with.bindings.count /= 2;
  with.body = parse_body({"endwith"}, true);
  ast_.withs.push_back(with);
  out.push_back(add_stmt(StmtKind::with, line, ast_.withs.size() - 1));
}

// Without inheritance a named block is its body in a scope of its own.
void Parser::parse_named_block(std::vector<uint32_t>& out, uint32_t line) {
  const StringId name = expect_name();
  skip_name("scoped");
  skip_name("required");
  const int loops = std::exchange(loop_depth_, 0);
  ast_.scopes.push_back(parse_body({"endblock"}, true));
  loop_depth_ = loops;
  skip_name(ast_.strings[name]);
  out.push_back(add_stmt(StmtKind::scope, line, ast_.scopes.size() - 1));
}

void Parser::parse_scope(std::vector<uint32_t>& out, uint32_t line, std::string_view end) {
  const int loops = end == "endgeneration" ? std::exchange(loop_depth_, 0) : loop_depth_;
  ast_.scopes.push_back(parse_body({end}, true));
  loop_depth_ = loops;
  out.push_back(add_stmt(StmtKind::scope, line, ast_.scopes.size() - 1));
}

void Parser::parse_print(std::vector<uint32_t>& out) {
  for (bool is_first = true; token_.kind != TokenKind::block_end; is_first = false) {
    if (!is_first) expect_operation(",");
    const uint32_t line = token_.line;
    out.push_back(add_stmt(StmtKind::print, line, parse_expression()));
  }
}

Run Parser::parse_parameters() {
  std::vector<uint32_t> parameters;
  bool has_default = false;
  expect_operation("(");
  while (!at_operation(")")) {
    if (!parameters.empty()) expect_operation(",");
    parameters.push_back(parse_target_name());
    if (skip_operation("=")) {
      has_default = true;
      parameters.push_back(parse_expression());
    } else if (has_default) {
      fail_syntax("a parameter without default follows one with a default");
    } else {
      parameters.push_back(kNone);
    }
  }
  expect_operation(")");
  Run run = add_ids(parameters);
  run.count /= 2;
  return run;
}

uint32_t Parser::parse_macro_body(MacroStmt macro, std::string_view end) {
  const int loops = std::exchange(loop_depth_, 0);
  open_macros_.push_back(macro);
  const Block body = parse_body({end}, true);
  macro = open_macros_.back();
  macro.body = body;
  open_macros_.pop_back();
  loop_depth_ = loops;
  for (uint32_t i = 0; i < macro.parameters.count; ++i) {
    const uint32_t at = macro.parameters.first + 2 * i;
    const bool is_caller = ast_.strings[ast_.ids[at]] == "caller";
    if (is_caller && macro.uses_caller && ast_.ids[at + 1] == kNone) {
      fail_syntax("the parameter 'caller' needs a default");
    }
  }
  ast_.macros.push_back(macro);
  return static_cast<uint32_t>(ast_.macros.size() - 1);
}

StringId Parser::parse_target_name() {
  const uint32_t line = token_.line;
  const StringId name = expect_name();
  const std::string& text = ast_.strings[name];
  if (text == "true" || text == "false" || text == "none" || text == "True" || text == "False" ||
      text == "None") {
    fail_syntax("cannot assign to '" + text + "'", line);
  }
  return name;
}

ExprId Parser::parse_target(TargetRules rules) {
  const uint32_t line = token_.line;
  std::vector<uint32_t> items;
  bool is_tuple = false;
  while (true) {
    const bool is_end = token_.kind == TokenKind::block_end || at_operation(")");
    if (is_end) break;
    if (at_operation("(")) {
      const Nesting nesting(depth_, max_depth_, token_.line);
      advance();
      items.push_back(parse_target({.may_be_attribute = rules.may_be_attribute}));
      expect_operation(")");
    } else {
      Expr target{.kind = ExprKind::name, .line = token_.line, .a = parse_target_name()};
      if (rules.may_be_attribute && skip_operation(".")) {
        target.kind = ExprKind::attribute_of;
        target.b = expect_name();
      } else if (n_enclosing_fors_ > 0 && ast_.strings[target.a] == "loop") {
        fail_syntax("cannot assign to 'loop' inside a loop", target.line);
      }
      items.push_back(add(target));
    }
    if (!rules.may_be_tuple || !at_operation(",")) break;
    is_tuple = true;
    advance();
  }
  if (items.size() == 1 && !is_tuple) return items[0];
  if (items.empty()) fail_syntax("expected a name to assign to, got " + describe_token());
  const Run run = add_ids(items);
  return add({.kind = ExprKind::tuple, .line = line, .b = run.first, .c = run.count});
}

}  // namespace larder::formats::jinja
