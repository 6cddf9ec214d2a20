// |tojson as transformers sets it up: json.dumps without HTML escaping.
#pragma once

#include "formats/template/jinja_arguments.h"

namespace larder::formats::jinja {

class Evaluator;
// Arguments: ensure_ascii, indent, separators, sort_keys.
Value to_json(Evaluator& evaluator, const Value& value, const Bound& arguments);

}  // namespace larder::formats::jinja
