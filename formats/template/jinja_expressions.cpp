// The parser's expressions, loosest first.
#include <array>

#include "formats/template/jinja_filters.h"
#include "formats/template/jinja_nesting.h"
#include "formats/template/jinja_parser.h"

namespace larder::formats::jinja {

ExprId Parser::parse_tuple(TupleRules rules) {
  const uint32_t line = token_.line;
  std::vector<uint32_t> items;
  bool is_tuple = false;
  while (true) {
    if (token_.kind == TokenKind::variable_end || token_.kind == TokenKind::block_end ||
        at_operation(")")) {
      break;
    }
    items.push_back(parse_expression(rules.with_conditional));
    if (!skip_operation(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && !rules.is_parenthesized) {
    fail_syntax("expected an expression, got " + describe_token());
  }
  const Run run = add_ids(items);
  return add({.kind = ExprKind::tuple, .line = line, .b = run.first, .c = run.count});
}

ExprId Parser::parse_expression(bool with_conditional) {
  const Nesting nesting(depth_, max_depth_, token_.line);
  return with_conditional ? parse_conditional() : parse_or();
}

ExprId Parser::parse_conditional() {
  const uint32_t line = token_.line;
  const size_t n_unresolved = unresolved_.size();
  ExprId value = parse_or();
  int n = 0;
  for (; skip_name("if"); ++n) {
    if (n >= max_depth_) fail_limit("nested deeper than " + std::to_string(max_depth_));
    const ExprId test = parse_or();
    const ExprId otherwise = skip_name("else") ? parse_expression() : kNone;
    value =
        add({.kind = ExprKind::conditional, .line = line, .a = test, .b = value, .c = otherwise});
  }
  if (n > 0) unresolved_.resize(n_unresolved);
  return value;
}

ExprId Parser::parse_or() {
  ExprId left = parse_and();
  while (at_name("or")) {
    const uint32_t line = token_.line;
    advance();
    const ExprId right = parse_and();
    left = add({.kind = ExprKind::logical_or, .line = line, .a = left, .b = right});
  }
  return left;
}

ExprId Parser::parse_and() {
  ExprId left = parse_not();
  while (at_name("and")) {
    const uint32_t line = token_.line;
    advance();
    const ExprId right = parse_not();
    left = add({.kind = ExprKind::logical_and, .line = line, .a = left, .b = right});
  }
  return left;
}

ExprId Parser::parse_not() {
  const uint32_t line = token_.line;
  size_t n = 0;
  while (skip_name("not")) ++n;
  ExprId operand = parse_compare();
  for (; n > 0; --n) operand = add({.kind = ExprKind::logical_not, .line = line, .a = operand});
  return operand;
}

bool Parser::take_comparison(Comparison& comparison) {
  static constexpr std::array<std::string_view, 6> kSigns = {"==", "!=", "<", "<=", ">", ">="};
  for (size_t i = 0; i < kSigns.size(); ++i) {
    if (!at_operation(kSigns[i])) continue;
    comparison = static_cast<Comparison>(i);
    advance();
    return true;
  }
  if (skip_name("in")) {
    comparison = Comparison::in;
    return true;
  }
  if (!at_name("not") || !look().is_name("in")) return false;
  comparison = Comparison::not_in;
  advance();
  advance();
  return true;
}

ExprId Parser::parse_compare() {
  const uint32_t line = token_.line;
  const ExprId first = parse_sum();
  std::vector<uint32_t> rest;
  for (Comparison comparison{}; take_comparison(comparison);) {
    const ExprId operand = parse_sum();
    rest.push_back(static_cast<uint32_t>(comparison));
    rest.push_back(operand);
  }
  if (rest.empty()) return first;
  const Run run = add_ids(rest);
  return add({.kind = ExprKind::compare, .line = line, .a = first, .b = run.first, .c = run.count});
}

ExprId Parser::parse_sum() {
  ExprId left = parse_concatenation();
  while (at_operation("+") || at_operation("-")) {
    const auto op = at_operation("+") ? BinaryOperator::add : BinaryOperator::subtract;
    const uint32_t line = token_.line;
    advance();
    const ExprId right = parse_concatenation();
    left = add({.kind = ExprKind::binary,
                .op = static_cast<uint8_t>(op),
                .line = line,
                .a = left,
                .b = right});
  }
  return left;
}

ExprId Parser::parse_concatenation() {
  const uint32_t line = token_.line;
  const ExprId first = parse_product();
  std::vector<uint32_t> rest;
  while (skip_operation("~")) rest.push_back(parse_product());
  if (rest.empty()) return first;
  const Run run = add_ids(rest);
  return add(
      {.kind = ExprKind::concatenate, .line = line, .a = first, .b = run.first, .c = run.count});
}

ExprId Parser::parse_product() {
  static constexpr std::array<std::string_view, 4> kSigns = {"*", "/", "//", "%"};
  static constexpr std::array<BinaryOperator, 4> kOperators = {
      BinaryOperator::multiply, BinaryOperator::divide, BinaryOperator::floor_divide,
      BinaryOperator::modulo};
  ExprId left = parse_power();
  while (true) {
    size_t i = 0;
    while (i < kSigns.size() && !at_operation(kSigns[i])) ++i;
    if (i == kSigns.size()) return left;
    const uint32_t line = token_.line;
    advance();
    const ExprId right = parse_power();
    left = add({.kind = ExprKind::binary,
                .op = static_cast<uint8_t>(kOperators[i]),
                .line = line,
                .a = left,
                .b = right});
  }
}

// Left-associative, as Jinja has it.
ExprId Parser::parse_power() {
  ExprId left = parse_unary();
  while (at_operation("**")) {
    const uint32_t line = token_.line;
    advance();
    const ExprId right = parse_unary();
    left = add({.kind = ExprKind::binary,
                .op = static_cast<uint8_t>(BinaryOperator::power),
                .line = line,
                .a = left,
                .b = right});
  }
  return left;
}

// Signs bind tighter than filters: -1|abs is (-1)|abs.
ExprId Parser::parse_unary() {
  const uint32_t line = token_.line;
  std::vector<ExprKind> signs;
  while (at_operation("-") || at_operation("+")) {
    signs.push_back(at_operation("-") ? ExprKind::negate : ExprKind::positive);
    advance();
  }
  ExprId operand = parse_postfix(parse_primary());
  for (auto sign = signs.rbegin(); sign != signs.rend(); ++sign) {
    operand = add({.kind = *sign, .line = line, .a = operand});
  }
  return parse_filters_and_tests(operand);
}

ExprId Parser::parse_primary() {
  const uint32_t line = token_.line;
  switch (token_.kind) {
    case TokenKind::name:
      return parse_name();
    case TokenKind::string: {
      std::string text;
      for (; token_.kind == TokenKind::string; advance()) text += token_.string;
      return add({.kind = ExprKind::string, .line = line, .a = intern(text)});
    }
    case TokenKind::integer:
      ast_.integers.push_back(token_.integer);
      advance();
      return add({.kind = ExprKind::integer,
                  .line = line,
                  .a = static_cast<uint32_t>(ast_.integers.size() - 1)});
    case TokenKind::real:
      ast_.reals.push_back(token_.real);
      advance();
      return add({.kind = ExprKind::real,
                  .line = line,
                  .a = static_cast<uint32_t>(ast_.reals.size() - 1)});
    default:
      break;
  }
  if (at_operation("[")) return parse_list();
  if (at_operation("{")) return parse_dict();
  if (!skip_operation("(")) fail_syntax("unexpected " + describe_token());
  const ExprId inner = parse_tuple({.is_parenthesized = true});
  expect_operation(")");
  return inner;
}

ExprId Parser::parse_name() {
  const uint32_t line = token_.line;
  const std::string_view name = token_.text;
  advance();
  const bool is_true = name == "true" || name == "True";
  if (is_true || name == "false" || name == "False") {
    return add({.kind = ExprKind::boolean, .line = line, .a = is_true ? 1u : 0u});
  }
  if (name == "none" || name == "None") return add({.kind = ExprKind::none, .line = line});
  note_load(name);
  return add({.kind = ExprKind::name, .line = line, .a = intern(name)});
}

ExprId Parser::parse_list() {
  const uint32_t line = token_.line;
  std::vector<uint32_t> items;
  expect_operation("[");
  while (!at_operation("]")) {
    if (!items.empty()) expect_operation(",");
    if (at_operation("]")) break;
    items.push_back(parse_expression());
  }
  expect_operation("]");
  const Run run = add_ids(items);
  return add({.kind = ExprKind::list, .line = line, .b = run.first, .c = run.count});
}

ExprId Parser::parse_dict() {
  const uint32_t line = token_.line;
  std::vector<uint32_t> items;
  expect_operation("{");
  while (!at_operation("}")) {
    if (!items.empty()) expect_operation(",");
    if (at_operation("}")) break;
    items.push_back(parse_expression());
    expect_operation(":");
    items.push_back(parse_expression());
  }
  expect_operation("}");
  const Run run = add_ids(items);
  return add({.kind = ExprKind::dict, .line = line, .b = run.first, .c = run.count});
}

}  // namespace larder::formats::jinja
