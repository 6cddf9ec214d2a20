#include "runtime/convert/checkpoint_config.h"

#include <utility>

namespace larder::runtime {
namespace {

using formats::DataValue;
using Kind = DataValue::Kind;

constexpr std::string_view kTextConfig = "text_config";

// Calls f with each name.
template <class F>
void for_each_name(std::string_view keys, F&& f) {
  for (;;) {
    const size_t bar = keys.find('|');
    f(keys.substr(0, bar));
    if (bar == std::string_view::npos) return;
    keys.remove_prefix(bar + 1);
  }
}

// `pattern` matches the key, or what is before one of its dots; one that begins with '*' matches
// any of the names between its dots.
bool is_or_is_under(std::string_view key, std::string_view pattern) {
  const size_t star = pattern.find('*');
  const std::string_view start = pattern.substr(0, star);
  if (!key.starts_with(start)) return false;
  key.remove_prefix(start.size());
  if (star == std::string_view::npos) return key.empty() || key.front() == '.';
  const std::string_view end = pattern.substr(star + 1);
  for (;;) {
    const size_t dot = key.find('.');
    if (key.substr(0, dot).ends_with(end)) return true;
    if (star > 0 || dot == std::string_view::npos) return false;
    key.remove_prefix(dot + 1);
  }
}

bool says_something(const DataValue& value) {
  if (value.kind == Kind::list) return !value.list.empty();
  if (value.kind == Kind::dict) return !value.dict.empty();
  return value.kind != Kind::null;
}

}  // namespace

CheckpointConfig::CheckpointConfig(const DataValue& root) {
  for (const auto& [name, value] : root.dict)
    if (name != kTextConfig) flatten(name, value);
  if (const DataValue* const text = root.find(kTextConfig))
    for (const auto& [name, value] : text->dict) flatten(name, value);
}

// Lists and empty objects stay whole.
void CheckpointConfig::flatten(const std::string& prefix, const DataValue& value) {
  if (value.kind != Kind::dict || value.dict.empty()) {
    entries_[prefix].value = value;
    return;
  }
  for (const auto& [name, member] : value.dict) flatten(prefix + "." + name, member);
}

const DataValue* CheckpointConfig::find(std::string_view keys) {
  const DataValue* found = nullptr;
  for_each_name(keys, [&](std::string_view key) {
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) return;
    entry->second.is_known = true;
    if (found == nullptr && entry->second.value.kind != Kind::null) found = &entry->second.value;
  });
  return found;
}

void CheckpointConfig::refuse(std::string_view key, std::string why) {
  if (status_.ok())
    status_ = Status(Cause::hyper_parameter, std::move(why), "key " + std::string(key));
}

std::optional<int64_t> CheckpointConfig::integer(std::string_view keys) {
  const DataValue* const value = find(keys);
  if (value == nullptr) return {};
  if (value->kind == Kind::integer) return value->integer;
  refuse(keys, "expected a whole number");
  return {};
}

std::optional<double> CheckpointConfig::real(std::string_view keys) {
  const DataValue* const value = find(keys);
  if (value == nullptr) return {};
  if (value->kind == Kind::real) return value->real;
  if (value->kind == Kind::integer) return static_cast<double>(value->integer);
  refuse(keys, "expected a number");
  return {};
}

std::optional<bool> CheckpointConfig::boolean(std::string_view keys) {
  const DataValue* const value = find(keys);
  if (value == nullptr) return {};
  if (value->kind == Kind::boolean) return value->boolean;
  refuse(keys, "expected true or false");
  return {};
}

std::optional<std::string> CheckpointConfig::string(std::string_view keys) {
  const DataValue* const value = find(keys);
  if (value == nullptr) return {};
  if (value->kind == Kind::string) return value->string;
  refuse(keys, "expected a string");
  return {};
}

std::optional<int64_t> CheckpointConfig::same_of_all(std::string_view keys) {
  const DataValue* const value = find(keys);
  if (value == nullptr || value->kind != Kind::list) return integer(keys);
  for (const DataValue& item : value->list) {
    if (item.kind != Kind::integer || item.integer != value->list[0].integer) {
      refuse(keys, "differs between layers, which is not supported");
      return {};
    }
  }
  if (value->list.empty()) return {};
  return value->list[0].integer;
}

std::vector<std::string> CheckpointConfig::strings(std::string_view keys) {
  std::vector<std::string> out;
  const DataValue* const value = find(keys);
  if (value == nullptr) return out;
  if (value->kind != Kind::list) refuse(keys, "expected a list of strings");
  for (const DataValue& item : value->list) {
    if (item.kind != Kind::string) refuse(keys, "expected a list of strings");
    out.push_back(item.string);
  }
  return out;
}

std::vector<float> CheckpointConfig::reals(std::string_view keys) {
  std::vector<float> out;
  const DataValue* const value = find(keys);
  if (value == nullptr) return out;
  if (value->kind != Kind::list) refuse(keys, "expected a list of numbers");
  for (const DataValue& item : value->list) {
    if (item.kind != Kind::real && item.kind != Kind::integer)
      refuse(keys, "expected a list of numbers");
    out.push_back(static_cast<float>(item.kind == Kind::integer ? static_cast<double>(item.integer)
                                                                : item.real));
  }
  return out;
}

void CheckpointConfig::ignore(std::string_view pattern) {
  for (auto& [key, entry] : entries_)
    if (!entry.is_known && is_or_is_under(key, pattern)) entry.is_known = true;
}

std::vector<std::string> CheckpointConfig::unknown_keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_)
    if (!entry.is_known && says_something(entry.value)) keys.push_back(key);
  return keys;
}

}  // namespace larder::runtime
