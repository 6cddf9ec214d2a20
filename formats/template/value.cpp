#include "formats/template/value.h"

#include <algorithm>
#include <string>
#include <utility>

namespace larder::formats {

namespace {

bool has_children(const DataValue& value) noexcept {
  return !value.list.empty() || !value.dict.empty();
}

bool has_grandchildren(const DataValue& value) noexcept {
  return std::any_of(value.list.begin(), value.list.end(), has_children) ||
         std::any_of(value.dict.begin(), value.dict.end(),
                     [](const DataValue::Member& m) { return has_children(m.second); });
}

// REQUIRES: has_children(value).
DataValue take_last(DataValue& value) noexcept {
  DataValue last;
  if (!value.list.empty()) {
    last = std::move(value.list.back());
    value.list.pop_back();
  } else {
    last = std::move(value.dict.back().second);
    value.dict.pop_back();
  }
  return last;
}

// Keeps `parent` where take_last(value) comes to it after all that `value` has, in the place that
// the last one taken has left: nothing is allocated. REQUIRES: take_last(value) was called.
void keep_for_last(DataValue& value, bool was_list, DataValue parent) noexcept {
  if (!has_children(parent)) return;
  if (was_list) {
    value.list.push_back(std::move(parent));
    std::swap(value.list.front(), value.list.back());
  } else {
    value.dict.emplace_back(std::string(), std::move(parent));
    std::swap(value.dict.front(), value.dict.back());
  }
}

}  // namespace

// Data from strangers may nest deeper than the stack is, and memory may have ended: children are
// unlinked before they die, from the innermost out. Linear.
DataValue::~DataValue() {
  if (!has_grandchildren(*this)) return;
  DataValue holder = std::move(*this);
  while (has_children(holder)) {
    DataValue child = take_last(holder);
    while (has_children(child)) {
      const bool was_list = !child.list.empty();
      DataValue grandchild = take_last(child);
      keep_for_last(child, was_list, std::move(holder));
      holder = std::move(child);
      child = std::move(grandchild);
    }
  }
}

DataValue DataValue::make_list(std::vector<DataValue> items) {
  DataValue value;
  value.kind = Kind::list;
  value.list = std::move(items);
  return value;
}

DataValue DataValue::make_dict(std::vector<Member> members) {
  DataValue value;
  value.kind = Kind::dict;
  value.dict = std::move(members);
  return value;
}

const DataValue* DataValue::find(std::string_view key) const noexcept {
  if (kind != Kind::dict) return nullptr;
  const auto found =
      std::find_if(dict.begin(), dict.end(), [key](const Member& m) { return m.first == key; });
  return found == dict.end() ? nullptr : &found->second;
}

}  // namespace larder::formats
