// What the parser's statements and expressions share: tokens and nodes.
#include "formats/template/jinja_budget.h"
#include "formats/template/jinja_parser.h"

namespace larder::formats::jinja {

const Token& Parser::look() {
  if (!has_lookahead_) {
    lookahead_ = lexer_.next();
    has_lookahead_ = true;
  }
  return lookahead_;
}

void Parser::advance() {
  token_ = has_lookahead_ ? std::move(lookahead_) : lexer_.next();
  has_lookahead_ = false;
}

bool Parser::skip_operation(std::string_view op) {
  const bool is_here = at_operation(op);
  if (is_here) advance();
  return is_here;
}

bool Parser::skip_name(std::string_view name) {
  const bool is_here = at_name(name);
  if (is_here) advance();
  return is_here;
}

void Parser::expect_operation(std::string_view op) {
  if (!skip_operation(op))
    fail_syntax("expected '" + std::string(op) + "', got " + describe_token());
}

void Parser::expect(TokenKind kind, const char* what) {
  if (token_.kind != kind)
    fail_syntax("expected " + std::string(what) + ", got " + describe_token());
  advance();
}

StringId Parser::expect_name() {
  if (token_.kind != TokenKind::name) fail_syntax("expected a name, got " + describe_token());
  const StringId name = intern(token_.text);
  advance();
  return name;
}

StringId Parser::parse_dotted_name() {
  StringId name = expect_name();
  while (skip_operation(".")) {
    const std::string dotted = ast_.strings[name] + ".";
    const StringId part = expect_name();
    name = intern(dotted + ast_.strings[part]);
  }
  return name;
}

std::string Parser::describe_token() const {
  switch (token_.kind) {
    case TokenKind::data:
      return "text";
    case TokenKind::variable_begin:
      return "'{{'";
    case TokenKind::variable_end:
      return "'}}'";
    case TokenKind::block_begin:
      return "'{%'";
    case TokenKind::block_end:
      return "'%}'";
    case TokenKind::string:
      return "a string";
    case TokenKind::integer:
    case TokenKind::real:
      return "a number";
    case TokenKind::end:
      return "the end of the template";
    case TokenKind::name:
    case TokenKind::operation:
      break;
  }
  return joined("'", token_.text.substr(0, 80), "'");
}

void Parser::fail_syntax(std::string message, uint32_t line) const {
  throw Failure{Cause::template_syntax, std::move(message), line};
}

void Parser::fail_syntax(std::string message) const {
  fail_syntax(std::move(message), token_.line);
}

ExprId Parser::add(Expr expr) {
  ast_.exprs.push_back(expr);
  return static_cast<ExprId>(ast_.exprs.size() - 1);
}

uint32_t Parser::add_stmt(StmtKind kind, uint32_t line, size_t index) {
  ast_.stmts.push_back({kind, line, static_cast<uint32_t>(index)});
  return static_cast<uint32_t>(ast_.stmts.size() - 1);
}

StringId Parser::intern(std::string_view string) {
  const auto [entry, is_new] =
      interned_.try_emplace(std::string(string), static_cast<StringId>(ast_.strings.size()));
  if (is_new) ast_.strings.emplace_back(string);
  return entry->second;
}

Run Parser::add_ids(const std::vector<uint32_t>& ids) {
  const auto first = static_cast<uint32_t>(ast_.ids.size());
  ast_.ids.insert(ast_.ids.end(), ids.begin(), ids.end());
  return {first, static_cast<uint32_t>(ids.size())};
}

// Macros and loops get what their bodies mention: caller, kwargs, varargs, loop.
void Parser::note_load(std::string_view name) {
  if (name == "loop") open_loops_.assign(open_loops_.size(), true);
  for (MacroStmt& macro : open_macros_) {
    macro.uses_caller |= name == "caller";
    macro.uses_kwargs |= name == "kwargs";
    macro.uses_varargs |= name == "varargs";
  }
}

}  // namespace larder::formats::jinja
