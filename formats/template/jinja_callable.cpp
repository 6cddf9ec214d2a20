#include "formats/template/jinja_callable.h"

#include <algorithm>
#include <array>

namespace larder::formats::jinja {

namespace {
constexpr size_t kIndexedVariables = 16;  // below, a linear search is cheaper than an index
}

const Value* Scope::find(StringId name) const noexcept {
  if (variables_.size() >= kIndexedVariables) {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &variables_[found->second].second;
  }
  for (const auto& [id, value] : variables_) {
    if (id == name) return &value;
  }
  return nullptr;
}

void Scope::set(StringId name, Value value) {
  if (const Value* found = find(name)) {
    *const_cast<Value*>(found) = std::move(value);
    return;
  }
  charge(sizeof(std::pair<StringId, Value>));
  variables_.emplace_back(name, std::move(value));
  if (variables_.size() < kIndexedVariables) return;
  for (size_t i = index_.size(); i < variables_.size(); ++i) index_.emplace(variables_[i].first, i);
}

void Scope::clear_variables() noexcept {
  variables_.clear();
  index_.clear();
}

void Scope::clear() noexcept {
  clear_variables();
  parent_ = {};
}

std::optional<GlobalFunction> find_global(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "range", "dict", "namespace", "cycler", "joiner", "raise_exception", "strftime_now"};
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<GlobalFunction>(found - kNames.begin());
}

}  // namespace larder::formats::jinja
