// The parser's subscripts, calls, filters and tests: what follows an operand.
#include "formats/template/jinja_filters.h"
#include "formats/template/jinja_parser.h"

namespace larder::formats::jinja {

ExprId Parser::parse_call(ExprId operand) {
  const uint32_t line = token_.line;
  const uint32_t arguments = parse_arguments(kNone);
  return add({.kind = ExprKind::call, .line = line, .a = operand, .b = arguments});
}

ExprId Parser::parse_postfix(ExprId operand) {
  while (true) {
    if (at_operation(".") || at_operation("[")) {
      operand = parse_subscript(operand);
    } else if (at_operation("(")) {
      operand = parse_call(operand);
    } else {
      return operand;
    }
  }
}

ExprId Parser::parse_filters_and_tests(ExprId operand) {
  while (true) {
    if (at_operation("|")) {
      operand = parse_filters(operand, false);
    } else if (at_name("is")) {
      operand = parse_test(operand);
    } else if (at_operation("(")) {
      operand = parse_call(operand);
    } else {
      return operand;
    }
  }
}

ExprId Parser::parse_subscript(ExprId operand) {
  const uint32_t line = token_.line;
  if (skip_operation(".")) {
    if (token_.kind == TokenKind::name) {
      const StringId name = expect_name();
      return add({.kind = ExprKind::attribute, .line = line, .a = operand, .b = name});
    }
    if (token_.kind != TokenKind::integer) fail_syntax("expected a name or number behind '.'");
    return add({.kind = ExprKind::item, .line = line, .a = operand, .b = parse_primary()});
  }
  expect_operation("[");
  std::vector<uint32_t> indices;
  while (!at_operation("]")) {
    if (!indices.empty()) expect_operation(",");
    indices.push_back(parse_subscribed());
  }
  expect_operation("]");
  ExprId index = indices.empty() ? kNone : indices[0];
  if (indices.size() != 1) {
    const Run run = add_ids(indices);
    index = add({.kind = ExprKind::tuple, .line = line, .b = run.first, .c = run.count});
  }
  return add({.kind = ExprKind::item, .line = line, .a = operand, .b = index});
}

ExprId Parser::parse_subscribed() {
  Expr slice{.kind = ExprKind::slice, .line = token_.line};
  const auto is_bound = [this] {
    return !at_operation(":") && !at_operation("]") && !at_operation(",");
  };
  if (!at_operation(":")) {
    slice.a = parse_expression();
    if (!at_operation(":")) return slice.a;
  }
  advance();
  if (is_bound()) slice.b = parse_expression();
  if (skip_operation(":") && is_bound()) slice.c = parse_expression();
  return add(slice);
}

uint32_t Parser::resolve(const char* what, StringId name, std::optional<uint32_t> found) {
  if (found) return *found;
  unresolved_.push_back({what, name, token_.line});
  return kNone;
}

void Parser::check_resolved() const {
  if (unresolved_.empty()) return;
  const Unresolved& first = unresolved_.front();
  fail_syntax(joined("there is no ", first.what, " named '", ast_.strings[first.name], "'"),
              first.line);
}

ExprId Parser::parse_filters(ExprId operand, bool is_inline) {
  while (is_inline || skip_operation("|")) {
    is_inline = false;
    const uint32_t line = token_.line;
    const StringId name = parse_dotted_name();
    const uint32_t filter = resolve("filter", name, find_filter(ast_.strings[name]));
    const uint32_t arguments = parse_arguments(name);
    operand =
        add({.kind = ExprKind::filter, .line = line, .a = operand, .b = arguments, .c = filter});
  }
  return operand;
}

ExprId Parser::parse_test(ExprId operand) {
  const uint32_t line = token_.line;
  advance();  // is
  const bool is_negated = skip_name("not");
  const StringId name = parse_dotted_name();
  const uint32_t test = resolve("test", name, find_test(ast_.strings[name]));
  uint32_t arguments = 0;
  const bool is_argument =
      token_.kind == TokenKind::string || token_.kind == TokenKind::integer ||
      token_.kind == TokenKind::real || at_operation("[") || at_operation("{") ||
      (token_.kind == TokenKind::name && !at_name("else") && !at_name("or") && !at_name("and"));
  if (is_argument) {
    if (at_name("is")) fail_syntax("tests cannot be chained with 'is'");
    const ExprId argument = parse_postfix(parse_primary());
    arguments = static_cast<uint32_t>(ast_.argument_lists.size());
    ast_.argument_lists.push_back({.name = name, .positional = add_ids({argument}), .keyword = {}});
  } else {
    arguments = parse_arguments(name);
  }
  operand = add({.kind = ExprKind::test, .line = line, .a = operand, .b = arguments, .c = test});
  return is_negated ? add({.kind = ExprKind::logical_not, .line = line, .a = operand}) : operand;
}

// "(a, *b, c=d, **e)"; without a parenthesis, no arguments.
uint32_t Parser::parse_arguments(StringId name) {
  ArgumentList list{.name = name, .positional = {}, .keyword = {}};
  std::vector<uint32_t> positional, keyword;
  const uint32_t line = token_.line;
  const auto ensure = [&](bool is_fine) {
    if (!is_fine) fail_syntax("invalid order of arguments", line);
  };
  const bool has_parenthesis = skip_operation("(");
  for (bool is_first = true; has_parenthesis && !at_operation(")"); is_first = false) {
    if (!is_first) expect_operation(",");
    if (at_operation(")")) break;
    if (skip_operation("*")) {
      ensure(list.star == kNone && list.double_star == kNone);
      list.star = parse_expression();
    } else if (skip_operation("**")) {
      ensure(list.double_star == kNone);
      list.double_star = parse_expression();
    } else if (token_.kind == TokenKind::name && look().is_operation("=")) {
      ensure(list.double_star == kNone);
      keyword.push_back(expect_name());
      advance();  // =
      keyword.push_back(parse_expression());
    } else {
      ensure(list.star == kNone && list.double_star == kNone && keyword.empty());
      positional.push_back(parse_expression());
    }
  }
  if (has_parenthesis) expect_operation(")");
  list.positional = add_ids(positional);
  list.keyword = add_ids(keyword);
  list.keyword.count /= 2;
  ast_.argument_lists.push_back(list);
  return static_cast<uint32_t>(ast_.argument_lists.size() - 1);
}

}  // namespace larder::formats::jinja
