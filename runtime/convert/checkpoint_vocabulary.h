// A checkpoint's tokenizer, chat template and sampling to metadata.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/gguf/gguf_writer.h"
#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::runtime {

// From tokenizer.json, tokenizer.model or spiece.model, tokenizer_config.json, special_tokens_map,
// chat_template.jinja and generation_config.json. `pre`: the name of the pre-tokenizer that is
// preferred; n_vocab: rows of the embedding. Errors name the file: `missing` where there is no
// tokenizer, `vocabulary` with the rule that is not supported.
Status write_vocabulary(const std::string& folder, const formats::DataValue& config,
                        std::string_view pre, uint64_t n_vocab, formats::GgufWriter& out);

}  // namespace larder::runtime
