// config.json, flattened: "rope_scaling.factor" is a key. Remembers which keys were asked for, so
// that those which nobody understands can be told.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::runtime {

class CheckpointConfig {
 public:
  // A model of several kinds of input has its language model's keys in "text_config"; these stand
  // over the others.
  explicit CheckpointConfig(const formats::DataValue& root);

  // `keys`: names in order of preference, '|' between them. Null and absent are one. All of the
  // names count as understood.
  const formats::DataValue* find(std::string_view keys);
  bool has(std::string_view keys) { return find(keys) != nullptr; }

  // Of the wrong kind: nullopt, and status() says which.
  std::optional<int64_t> integer(std::string_view keys);
  std::optional<double> real(std::string_view keys);
  std::optional<bool> boolean(std::string_view keys);
  std::optional<std::string> string(std::string_view keys);
  // The first integer of a list, all of which must be alike, or the integer itself.
  std::optional<int64_t> same_of_all(std::string_view keys);
  std::vector<std::string> strings(std::string_view keys);
  std::vector<float> reals(std::string_view keys);

  void refuse(std::string_view key, std::string why);  // the first refusal stays
  const Status& status() const noexcept { return status_; }

  // Marks a key and everything under it as understood. '*' stands for any letters of one
  // name, of any depth where it stands first.
  void ignore(std::string_view pattern);
  // Keys that were neither asked for nor ignored; those without a value, null or empty, say
  // nothing.
  std::vector<std::string> unknown_keys() const;

 private:
  struct Entry {
    formats::DataValue value;
    bool is_known = false;
  };
  void flatten(const std::string& prefix, const formats::DataValue& value);

  std::map<std::string, Entry, std::less<>> entries_;
  Status status_;
};

}  // namespace larder::runtime
