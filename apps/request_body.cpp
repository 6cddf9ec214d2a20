#include "apps/request_body.h"

#include <algorithm>
#include <utility>

namespace larder::apps {
namespace {

using formats::DataValue;

// Fields that change nothing that comes out.
constexpr std::string_view kIgnored[] = {"user",
                                         "metadata",
                                         "store",
                                         "service_tier",
                                         "stream_options",
                                         "parallel_tool_calls",
                                         "prompt_cache_key",
                                         "safety_identifier"};

}  // namespace

Status bad_field(Cause cause, std::string message, std::string_view field) {
  return Status(cause, std::move(message), "field " + std::string(field));
}

bool is_absent(const DataValue* value) noexcept {
  return value == nullptr || value->kind == DataValue::Kind::null;
}

const DataValue* RequestBody::find(std::string_view name) {
  read_.push_back(name);
  return body_.find(name);
}

Status RequestBody::number(std::string_view name, float& value) {
  const DataValue* const found = find(name);
  if (is_absent(found)) return {};
  if (found->kind == DataValue::Kind::integer) {
    value = static_cast<float>(found->integer);
  } else if (found->kind == DataValue::Kind::real) {
    value = static_cast<float>(found->real);
  } else {
    return bad_field(Cause::value_type, "must be a number", name);
  }
  return {};
}

Status RequestBody::integer(std::string_view name, int64_t least, int64_t most, int32_t& value) {
  const DataValue* const found = find(name);
  if (is_absent(found)) return {};
  if (found->kind != DataValue::Kind::integer) {
    return bad_field(Cause::value_type, "must be a whole number", name);
  }
  if (found->integer < least || found->integer > most) {
    return bad_field(Cause::invalid_argument,
                     "must be from " + std::to_string(least) + " to " + std::to_string(most), name);
  }
  value = static_cast<int32_t>(found->integer);
  return {};
}

Status RequestBody::boolean(std::string_view name, bool& value) {
  const DataValue* const found = find(name);
  if (is_absent(found)) return {};
  if (found->kind != DataValue::Kind::boolean) {
    return bad_field(Cause::value_type, "must be true or false", name);
  }
  value = found->boolean;
  return {};
}

Status RequestBody::text(std::string_view name, std::string& value) {
  const DataValue* const found = find(name);
  if (is_absent(found)) return {};
  if (found->kind != DataValue::Kind::string) {
    return bad_field(Cause::value_type, "must be a string", name);
  }
  value = found->string;
  return {};
}

Status RequestBody::nothing_unread() const {
  for (const auto& [name, value] : body_.dict) {
    const auto is_name = [&name = name](std::string_view known) { return known == name; };
    if (std::none_of(read_.begin(), read_.end(), is_name) &&
        std::none_of(std::begin(kIgnored), std::end(kIgnored), is_name)) {
      return bad_field(Cause::unsupported, "is not known", name);
    }
  }
  return {};
}

}  // namespace larder::apps
