#include "formats/template/value.h"

#include <algorithm>
#include <iterator>

namespace larder::formats {

namespace {

void take_children(DataValue& value, std::vector<DataValue>& out) {
  std::move(value.list.begin(), value.list.end(), std::back_inserter(out));
  value.list.clear();
  for (DataValue::Member& member : value.dict) out.push_back(std::move(member.second));
  value.dict.clear();
}

bool has_grandchildren(const DataValue& value) {
  const auto has_children = [](const DataValue& v) { return !v.list.empty() || !v.dict.empty(); };
  return std::any_of(value.list.begin(), value.list.end(), has_children) ||
         std::any_of(value.dict.begin(), value.dict.end(),
                     [&](const DataValue::Member& m) { return has_children(m.second); });
}

}  // namespace

// Data from strangers may nest deeper than the stack is: children are unlinked before they die.
DataValue::~DataValue() {
  if (!has_grandchildren(*this)) return;
  std::vector<DataValue> doomed;
  take_children(*this, doomed);
  while (!doomed.empty()) {
    DataValue value = std::move(doomed.back());
    doomed.pop_back();
    take_children(value, doomed);
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
