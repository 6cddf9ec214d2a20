// JSON: text to the values that templates use, and back. The JSON library is known in json.cpp
// alone.
#pragma once

#include <string>
#include <string_view>

#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::formats {

// Deeper nesting is an error: what reads the value walks it recursively.
inline constexpr int kMaxJsonDepth = 200;

// One JSON value and nothing after it. Members keep their order; of repeated names the last value
// stands. Integers beyond 64 bits become reals. Errors: `truncated`, `utf8`, `array` (malformed)
// with the byte, `limit` for nesting.
Result<DataValue> parse_json(std::string_view text);

// One line, no trailing newline. Bytes that are not UTF-8 become U+FFFD; numbers that are not
// finite become null.
std::string to_json(const DataValue& value);

}  // namespace larder::formats
