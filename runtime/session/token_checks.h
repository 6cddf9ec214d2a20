// Whether a model, and a context, can take tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/status.h"
#include "formats/text/tokenizer.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

// Error: `invalid_argument` naming the first that is outside the vocabulary.
Status check_ids(std::span<const formats::TokenId> ids, const ModelConfig& config);
// Error: `context_full`.
Status check_fits(size_t n_tokens, int32_t n_ctx);
// What an encoder is to read. Errors: `unsupported` without an encoder, `invalid_argument`,
// `context_full`.
Status check_source(std::span<const formats::TokenId> ids, const ModelConfig& config,
                    int32_t n_ctx);
// Error: `invalid_argument` where there is an encoder, and it has no source.
Status check_has_source(std::span<const formats::TokenId> source, const ModelConfig& config);

}  // namespace larder::runtime
