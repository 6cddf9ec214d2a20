// Values that can be called, and the scopes they close over.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/template/jinja_arguments.h"
#include "formats/template/jinja_ast.h"
#include "formats/template/jinja_value.h"

namespace larder::formats::jinja {

// The variables of one block, loop iteration or macro call.
class Scope final : public Cyclic {
 public:
  Scope(CyclicRegistry& registry, Budget& budget, Ref<Scope> parent)
      : Cyclic(registry, &budget.heap, sizeof(Scope)), parent_(std::move(parent)) {}

  const Scope* parent() const noexcept { return parent_.get(); }
  const Value* find(StringId name) const noexcept;  // here, not in parents
  void set(StringId name, Value value);
  void clear() noexcept override;
  void clear_variables() noexcept;  // for the next iteration

 private:
  Ref<Scope> parent_;
  std::vector<std::pair<StringId, Value>> variables_;
  std::unordered_map<StringId, size_t> index_;  // filled from kIndexedVariables on
};

class MacroObject final : public Object {
 public:
  MacroObject(Budget& budget, const MacroStmt& stmt, std::string_view name, Ref<Scope> scope)
      : Object(&budget.heap, sizeof(MacroObject)),
        stmt_(stmt),
        name_(name),
        scope_(std::move(scope)) {}
  const MacroStmt& stmt() const noexcept { return stmt_; }
  std::string_view name() const noexcept { return name_; }
  const Ref<Scope>& scope() const noexcept { return scope_; }

 private:
  const MacroStmt& stmt_;
  std::string_view name_;
  Ref<Scope> scope_;
};

class Evaluator;

// A method of a type, e.g. str.split.
struct MethodSpec {
  std::string_view name;
  Signature signature;
  Value (*call)(Evaluator& evaluator, const Value& self, const Bound& arguments);
  Value (*call_variadic)(Evaluator& evaluator, const Value& self, Arguments arguments);
};

class MethodObject final : public Object {
 public:
  MethodObject(Budget& budget, const MethodSpec& spec, Value self)
      : Object(&budget.heap, sizeof(MethodObject)), spec_(spec), self_(std::move(self)) {}
  const MethodSpec& spec() const noexcept { return spec_; }
  const Value& self() const noexcept { return self_; }

 private:
  const MethodSpec& spec_;
  Value self_;
};

inline constexpr uint32_t kGroupTuple =
    1;  // Value::detail() of what |groupby gives: (grouper, list)

// Null if the type has no such method. `is_unsafe`: it has, but it would change the object, or look
// behind it; the sandbox hides it.
const MethodSpec* find_method(const Value& value, std::string_view name, bool& is_unsafe);
const MethodSpec* find_string_method(std::string_view name);

enum class GlobalFunction : uint32_t {
  range,
  dict,
  name_space,
  cycler,
  joiner,
  raise_exception,
  strftime_now
};
std::optional<GlobalFunction> find_global(std::string_view name);

// A for loop that runs: what the template sees as `loop`.
class LoopObject final : public Object {
 public:
  LoopObject(Budget& budget, uint32_t stmt, Ref<Scope> scope, int depth0)
      : Object(&budget.heap, sizeof(LoopObject)),
        stmt_index(stmt),
        scope(std::move(scope)),
        depth0(depth0) {}

  const uint32_t stmt_index;
  const Ref<Scope> scope;  // around the loop
  const int depth0;
  int64_t index0 = -1;
  std::optional<Cursor> cursor;
  std::vector<Value> buffered;  // read ahead for `length`, taken from the front
  size_t n_taken = 0;
  std::optional<int64_t> length;
  Value before, current;
  std::optional<std::vector<Value>> last_changed;

  void buffer(Value item) {
    if (buffered.size() == buffered.capacity()) charge((buffered.size() + 1) * sizeof(Value));
    buffered.push_back(std::move(item));
  }
};

class CyclerObject final : public Object {
 public:
  CyclerObject(Budget& budget, std::vector<Value> values)
      : Object(&budget.heap, sizeof(CyclerObject) + values.size() * sizeof(Value)),
        items(std::move(values)) {}
  const std::vector<Value> items;
  size_t position = 0;
};

class JoinerObject final : public Object {
 public:
  JoinerObject(Budget& budget, Value text)
      : Object(&budget.heap, sizeof(JoinerObject)), separator(std::move(text)) {}
  const Value separator;
  bool is_used = false;
};

}  // namespace larder::formats::jinja
