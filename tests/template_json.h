// JSON as the values of chat templates, for tests.
#pragma once

#include <ctime>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "formats/template/chat_template.h"

namespace larder::tests {

using Json = nlohmann::ordered_json;

inline formats::DataValue to_data(const Json& json) {
  if (json.is_boolean()) return formats::DataValue(json.get<bool>());
  if (json.is_number_integer()) return formats::DataValue(json.get<int64_t>());
  if (json.is_number()) return formats::DataValue(json.get<double>());
  if (json.is_string()) return formats::DataValue(json.get<std::string>());
  formats::DataValue value;
  if (json.is_array()) {
    value = formats::DataValue::make_list();
    for (const Json& item : json) value.list.push_back(to_data(item));
  }
  if (json.is_object()) {
    value = formats::DataValue::make_dict();
    for (const auto& [key, member] : json.items()) value.dict.emplace_back(key, to_data(member));
  }
  return value;
}

// The clock of the golden renders: Thursday 2025-07-10 12:00.
inline std::tm golden_time() {
  std::tm time{};
  time.tm_year = 2025 - 1900;
  time.tm_mon = 6;
  time.tm_mday = 10;
  time.tm_hour = 12;
  time.tm_wday = 4;
  time.tm_yday = 190;
  return time;
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<Json> read_json_lines(const std::string& path) {
  std::vector<Json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(Json::parse(line));
  }
  return lines;
}

// Parses and renders.
inline Result<formats::MarkedText> render(const std::string& source,
                                          const formats::DataValue& variables) {
  auto parsed = formats::ChatTemplate::parse(source);
  if (!parsed.ok()) return parsed.status();
  return (*parsed)->render(variables, golden_time());
}

}  // namespace larder::tests
