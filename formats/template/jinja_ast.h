// A parsed template as flat tables: nodes name each other by index, so a tree of any shape is freed
// without recursion and costs 20 bytes a node.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace larder::formats::jinja {

using ExprId = uint32_t;
using StringId = uint32_t;
inline constexpr uint32_t kNone = UINT32_MAX;

// Layout of a, b, c. "ids[b..]" is a run of c entries in Ast::ids. A kind marked * has its first
// operand in `a`: chains of those are evaluated without recursion.
enum class ExprKind : uint8_t {
  none,
  boolean,       // a: 0 or 1
  integer,       // a: index into integers
  real,          // a: index into reals
  string,        // a: string
  name,          // a: string
  attribute_of,  // assignment target of a namespace: a: its name, b: attribute
  captured,      // the text of the enclosing filter or set block
  list,          // ids[b..]
  tuple,         // ids[b..]
  dict,          // ids[b..]: key, value, key, value, ...
  slice,         // a, b, c: start, stop, step or kNone
  attribute,     // * b: string
  item,          // * b: the index, which may be a slice
  call,          // * b: arguments
  filter,        // * b: arguments, c: filter, or kNone if there is no such filter
  test,          // * b: arguments, c: test or kNone
  negate,        // *
  positive,      // *
  logical_not,   // *
  binary,        // * b: right, op: BinaryOperator
  logical_and,   // * b: right
  logical_or,    // * b: right
  compare,       // * ids[b..]: Comparison, operand, Comparison, operand, ...
  concatenate,   // * ids[b..]: the other operands
  conditional    // a: test, b: value, c: otherwise or kNone
};

constexpr bool is_chained(ExprKind kind) {
  return kind >= ExprKind::attribute && kind <= ExprKind::concatenate;
}

struct Expr {
  ExprKind kind = ExprKind::none;
  uint8_t op = 0;
  uint32_t line = 0;
  uint32_t a = kNone, b = kNone, c = kNone;
};

struct Run {
  uint32_t first = 0, count = 0;
};

struct ArgumentList {
  StringId name = kNone;  // of the filter or test
  Run positional;         // in ids: expressions
  Run keyword;            // in ids: `count` pairs (string, expression)
  ExprId star = kNone, double_star = kNone;
};

enum class StmtKind : uint8_t {
  text,          // index: into texts
  print,         // index: expression
  branch,        // ifs
  loop,          // fors
  set,           // sets
  set_block,     // set_blocks
  macro,         // macros
  call_block,    // call_blocks
  filter_block,  // filter_blocks
  with,          // withs
  scope,         // blocks
  break_loop,
  continue_loop
};

struct Stmt {
  StmtKind kind;
  uint32_t line;
  uint32_t index;
};

using Block = Run;  // in ids: indices of stmts

struct Branch {
  ExprId test;  // kNone: else
  Block body;
};
struct ForStmt {
  ExprId target, iterable, test;
  bool is_recursive, uses_loop;
  Block body, otherwise;
};
struct SetStmt {
  ExprId target, value;
};
struct SetBlockStmt {
  ExprId target, filter;  // filter: kNone or a chain of filters on `captured`
  Block body;
};
struct MacroStmt {
  StringId name = kNone;  // kNone: the body of a call block
  Run parameters;         // in ids: `count` pairs (string, default or kNone)
  Block body;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};
struct CallBlockStmt {
  uint32_t macro;
  ExprId call;
};
struct FilterBlockStmt {
  ExprId filter;
  Block body;
};
struct WithStmt {
  Run bindings;  // in ids: `count` pairs (target, expression)
  Block body;
};

struct Ast {
  std::vector<Expr> exprs;
  std::vector<Stmt> stmts;
  std::vector<uint32_t> ids;
  std::vector<std::string> strings;
  std::vector<int64_t> integers;
  std::vector<double> reals;
  std::vector<std::string_view> texts;  // into the source
  std::vector<ArgumentList> argument_lists;
  std::vector<Run> ifs;  // in branches
  std::vector<Branch> branches;
  std::vector<ForStmt> fors;
  std::vector<SetStmt> sets;
  std::vector<SetBlockStmt> set_blocks;
  std::vector<MacroStmt> macros;
  std::vector<CallBlockStmt> call_blocks;
  std::vector<FilterBlockStmt> filter_blocks;
  std::vector<WithStmt> withs;
  std::vector<Block> scopes;
  Block root;
  // Names that bodies find without anybody assigning them.
  StringId loop_name = kNone, caller_name = kNone, kwargs_name = kNone, varargs_name = kNone;
};

}  // namespace larder::formats::jinja
