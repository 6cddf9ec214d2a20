// The values a chat template computes with: JSON's, plus undefined. Strings remember which bytes
// came from the conversation (MarkedText).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/text/marked_text.h"

namespace larder::formats {

// Plain data handed to a template and read from JSON. Dictionaries keep their order.
struct DataValue {
  enum class Kind : uint8_t { null, boolean, integer, real, string, list, dict };
  using Member = std::pair<std::string, DataValue>;

  DataValue() = default;
  DataValue(const DataValue&) = default;
  DataValue(DataValue&&) noexcept = default;
  DataValue& operator=(const DataValue&) = default;
  DataValue& operator=(DataValue&&) noexcept = default;
  ~DataValue();  // no recursion, however deep the data
  DataValue(bool value) : kind(Kind::boolean), boolean(value) {}
  DataValue(int64_t value) : kind(Kind::integer), integer(value) {}
  DataValue(int value) : DataValue(static_cast<int64_t>(value)) {}
  DataValue(double value) : kind(Kind::real), real(value) {}
  DataValue(std::string value) : kind(Kind::string), string(std::move(value)) {}
  DataValue(std::string_view value) : DataValue(std::string(value)) {}
  DataValue(const char* value) : DataValue(std::string(value)) {}
  static DataValue make_list(std::vector<DataValue> items = {});
  static DataValue make_dict(std::vector<Member> members = {});

  const DataValue* find(std::string_view key) const noexcept;  // null unless a dict that has it

  Kind kind = Kind::null;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string string;
  std::vector<DataValue> list;
  std::vector<Member> dict;
};

}  // namespace larder::formats
