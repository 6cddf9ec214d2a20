// The pre-tokenizers of tokenizer.json files, by the names that GGUF has for them.
#pragma once

#include <string>
#include <string_view>

#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::formats {

// What splits the text, one rule a line: a regular expression, or "digits", "digit", "words".
// Error: `vocabulary` with what is not supported.
Result<std::string> describe_pretokenizer(const DataValue* pretokenizer);

// What else tells rules apart.
struct PretokenizerTraits {
  bool normalizes_nfc = false;
  bool ignores_merges = false;
};
// `preferred` where it is one of the names. Error: `vocabulary` with the rule's text.
Result<std::string_view> find_published_rule(const std::string& description,
                                             const PretokenizerTraits& traits,
                                             std::string_view preferred);

}  // namespace larder::formats
