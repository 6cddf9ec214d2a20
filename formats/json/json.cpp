#include "formats/json/json.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace larder::formats {
namespace {

using nlohmann::ordered_json;

// Builds a DataValue from the parser's events. The innermost open container is the last of `open_`.
class ValueBuilder : public nlohmann::json_sax<ordered_json> {
 public:
  bool null() override { return add(DataValue()); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= INT64_MAX) return add(static_cast<int64_t>(value));
    return add(static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(DataValue::make_dict()); }
  bool start_array(size_t) override { return open(DataValue::make_list()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    keys_.back() = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    const std::string_view what = error.what();
    const bool is_utf8 = what.find("UTF-8") != std::string_view::npos;
    const bool is_end = what.find("unexpected end of input") != std::string_view::npos;
    const std::string near = is_utf8 || token.size() > 40 ? "" : " near '" + token + "'";
    status_ = Status(is_utf8  ? Cause::utf8
                     : is_end ? Cause::truncated
                              : Cause::array,
                     is_utf8  ? "not UTF-8"
                     : is_end ? "the JSON text ends too early"
                              : "malformed JSON" + near,
                     {}, position > 0 ? position - 1 : 0);
    return false;
  }

  const Status& status() const noexcept { return status_; }
  DataValue take() { return std::move(root_); }

 private:
  bool add(DataValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    DataValue& container = open_.back();
    if (container.kind == DataValue::Kind::list) {
      container.list.push_back(std::move(value));
    } else {
      container.dict.emplace_back(keys_.back(), std::move(value));
    }
    return true;
  }

  bool open(DataValue container) {
    if (open_.size() == static_cast<size_t>(kMaxJsonDepth)) {
      status_ = Status(Cause::limit, "JSON nested deeper than " + std::to_string(kMaxJsonDepth));
      return false;
    }
    open_.push_back(std::move(container));
    keys_.emplace_back();
    return true;
  }

  bool close() {
    DataValue done = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    if (done.kind == DataValue::Kind::dict) keep_last_of_repeated(done.dict);
    return add(std::move(done));
  }

  static void keep_last_of_repeated(std::vector<DataValue::Member>& members);

  Status status_;
  DataValue root_;
  std::vector<DataValue> open_;
  std::vector<std::string> keys_;  // of the member being read, one a container
};

// A repeated name stays where it stood first. Cost: n log n.
void ValueBuilder::keep_last_of_repeated(std::vector<DataValue::Member>& members) {
  std::map<std::string_view, size_t> first;
  std::vector<DataValue::Member> kept;
  kept.reserve(members.size());  // keeps the views of `first` valid
  for (DataValue::Member& member : members) {
    const auto found = first.find(member.first);
    if (found != first.end()) {
      kept[found->second].second = std::move(member.second);
    } else {
      kept.push_back(std::move(member));
      first.emplace(kept.back().first, kept.size() - 1);
    }
  }
  members = std::move(kept);
}

ordered_json to_library(const DataValue& value) {
  switch (value.kind) {
    case DataValue::Kind::null:
      return nullptr;
    case DataValue::Kind::boolean:
      return value.boolean;
    case DataValue::Kind::integer:
      return value.integer;
    case DataValue::Kind::real:
      return value.real;
    case DataValue::Kind::string:
      return value.string;
    case DataValue::Kind::list: {
      ordered_json list = ordered_json::array();
      for (const DataValue& item : value.list) list.push_back(to_library(item));
      return list;
    }
    case DataValue::Kind::dict: {
      ordered_json dict = ordered_json::object();
      auto& members = dict.get_ref<ordered_json::object_t&>();
      for (const auto& [name, member] : value.dict) members.push_back({name, to_library(member)});
      return dict;
    }
  }
  return nullptr;
}

}  // namespace

Result<DataValue> parse_json(std::string_view text) {
  ValueBuilder builder;
  const bool is_read = ordered_json::sax_parse(text.begin(), text.end(), &builder);
  if (!is_read) return builder.status();
  return builder.take();
}

std::string to_json(const DataValue& value) {
  return to_library(value).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace larder::formats
