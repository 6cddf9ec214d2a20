// What a line of an OpenAI batch is answered with. Nothing in it comes from a clock or from chance:
// ids are digests of the line's custom_id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/batch_request.h"
#include "formats/status.h"
#include "formats/template/value.h"
#include "runtime/session/engine.h"

namespace larder::apps {

// What answers tell of where they come from.
struct BatchOrigin {
  std::string model;        // where the line names none
  std::string fingerprint;  // of the model
  int64_t created = 0;      // seconds since 1970
};

// {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}; results:
// of each prompt and choice, the prompt's choices together. REQUIRES: each has a generation.
std::string batch_response(const BatchRequest& request,
                           const std::vector<runtime::EngineResult>& results,
                           const BatchDefaults& defaults, const BatchOrigin& origin);

// {"id", "custom_id", "response", "error": {"code", "message", "param", "line"}}; a request that
// was understood as one also has a response, with the status that a server would give.
std::string batch_error(int64_t line, const formats::DataValue& custom_id, const Status& why);

}  // namespace larder::apps
