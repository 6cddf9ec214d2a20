#include "runtime/session/token_checks.h"

#include <string>

namespace larder::runtime {
namespace {

Status context_full(const std::string& what_does_not, int32_t n_ctx) {
  return Status(Cause::context_full, what_does_not + " fit the context of " +
                                         std::to_string(n_ctx) +
                                         "; shorten the text, or choose a larger --ctx-size");
}

bool fit(size_t n_tokens, int32_t n_ctx) { return n_tokens <= static_cast<size_t>(n_ctx); }

}  // namespace

Status check_ids(std::span<const formats::TokenId> ids, const ModelConfig& config) {
  for (const formats::TokenId id : ids)
    if (id < 0 || id >= config.n_vocab)
      return Status(Cause::invalid_argument,
                    "the vocabulary has ids from 0 to " + std::to_string(config.n_vocab - 1),
                    "token " + std::to_string(id));
  return {};
}

Status check_fits(size_t n_tokens, int32_t n_ctx) {
  if (fit(n_tokens, n_ctx)) return {};
  return context_full(std::to_string(n_tokens) + " tokens do not", n_ctx);
}

Status check_source(std::span<const formats::TokenId> ids, const ModelConfig& config,
                    int32_t n_ctx) {
  if (!config.has_encoder())
    return Status(Cause::unsupported, "the model has no encoder that could read a source");
  if (ids.empty()) return Status(Cause::invalid_argument, "a source has at least one token");
  if (!fit(ids.size(), n_ctx))
    return context_full("a source of " + std::to_string(ids.size()) + " tokens does not", n_ctx);
  return check_ids(ids, config);
}

Status check_has_source(std::span<const formats::TokenId> source, const ModelConfig& config) {
  if (!config.has_encoder() || !source.empty()) return {};
  return Status(Cause::invalid_argument,
                "the model has an encoder, which must read a source before there is an answer");
}

}  // namespace larder::runtime
