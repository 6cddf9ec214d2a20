// Conversations as OpenAI's API writes them, read.
#pragma once

#include <vector>

#include "formats/status.h"
#include "formats/template/value.h"
#include "runtime/session/prompt.h"

namespace larder::runtime {

// A content of parts becomes one text. Error: `unsupported` for a part that is no text.
Status join_parts(formats::DataValue& content);

// A message, or a list of them. Their fields go to the template as they are, `role` being needed,
// and `content` a text, parts of text, or null. Errors: `value_type`, `unsupported`.
Result<std::vector<Message>> read_messages(const formats::DataValue& value);

}  // namespace larder::runtime
