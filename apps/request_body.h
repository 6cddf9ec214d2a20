// The body of a request: its members are read by name, each as what it must be, and those that
// nobody has read are known.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::apps {

// An error whose subject is the field.
Status bad_field(Cause cause, std::string message, std::string_view field);

// Not there, or null.
bool is_absent(const formats::DataValue* value) noexcept;

class RequestBody {
 public:
  // The body must outlive this.
  explicit RequestBody(const formats::DataValue& body) : body_(body) {}

  // Null if it is not there. `name` must outlive this.
  const formats::DataValue* find(std::string_view name);
  // Leave `value` where the field is absent. Errors: `value_type`, `invalid_argument` beyond the
  // bounds.
  Status number(std::string_view name, float& value);
  Status integer(std::string_view name, int64_t least, int64_t most, int32_t& value);
  Status boolean(std::string_view name, bool& value);
  Status text(std::string_view name, std::string& value);

  // Error `unsupported` naming a field that was not asked for, unless it changes nothing.
  Status nothing_unread() const;

 private:
  const formats::DataValue& body_;
  std::vector<std::string_view> read_;
};

}  // namespace larder::apps
