#include "formats/text/tokenizer_metadata.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace larder::formats {

namespace keys = tokenizer_keys;

namespace {

// What u32 writers store for "no token".
constexpr int64_t kNoTokenAsU32 = 0xFFFFFFFF;

Result<TokenId> checked_id(std::string_view key, int64_t value, int32_t n_vocab) {
  if (value == kNoToken || value == kNoTokenAsU32) return kNoToken;
  if (value < 0 || value >= n_vocab) {
    return TokenizerMetadata::error(key, "token " + std::to_string(value) +
                                             " is outside the vocabulary of " +
                                             std::to_string(n_vocab) + " tokens");
  }
  return static_cast<TokenId>(value);
}

// What could not be read for want of memory is not of the wrong type.
Status wrong_type(const Status& reason, std::string_view key, const char* expected,
                  Cause cause = Cause::vocabulary) {
  if (reason.cause() == Cause::out_of_memory) return reason;
  return TokenizerMetadata::error(key, expected, cause);
}

}  // namespace

Status TokenizerMetadata::error(std::string_view key, std::string message, Cause cause) {
  return Status(cause, std::move(message), "key " + std::string(key));
}

Result<std::string_view> TokenizerMetadata::required_text(std::string_view key) const {
  const GgufValue* const value = file_.find(key);
  if (value == nullptr) return error(key, "the file names none");
  const Result<std::string_view> text = value->to_string();
  if (!text.ok()) return wrong_type(text.status(), key, "expected a string");
  return *text;
}

Result<bool> TokenizerMetadata::flag(std::string_view key, bool otherwise) const {
  const GgufValue* const value = file_.find(key);
  if (value == nullptr) return otherwise;
  const Result<bool> flag = value->to_bool();
  if (!flag.ok()) return wrong_type(flag.status(), key, "expected a bool");
  return *flag;
}

Result<TokenId> TokenizerMetadata::token_id(std::string_view key, int32_t n_vocab) const {
  const GgufValue* const value = file_.find(key);
  if (value == nullptr) return kNoToken;
  const Result<int64_t> id = value->to_integer();
  if (!id.ok()) return wrong_type(id.status(), key, "expected a token id");
  return checked_id(key, *id, n_vocab);
}

Result<std::vector<TokenId>> TokenizerMetadata::token_ids(std::string_view key,
                                                          int32_t n_vocab) const {
  std::vector<TokenId> ids;
  if (!has(key)) return ids;
  const Result<GgufArray> values = array(key);
  if (!values.ok()) return values.status();
  const Result<std::vector<int64_t>> integers = values->to_integers();
  if (!integers.ok()) return wrong_type(integers.status(), key, "expected token ids");
  for (const int64_t integer : *integers) {
    const Result<TokenId> id = checked_id(key, integer, n_vocab);
    if (!id.ok()) return id.status();
    if (*id != kNoToken) ids.push_back(*id);
  }
  return ids;
}

Result<GgufArray> TokenizerMetadata::array(std::string_view key, Cause cause) const {
  const GgufValue* const value = file_.find(key);
  if (value == nullptr) return error(key, "the file has none", cause);
  const Result<GgufArray> array = value->to_array();
  if (!array.ok()) return wrong_type(array.status(), key, "expected an array", cause);
  return *array;
}

Result<std::vector<std::string_view>> TokenizerMetadata::strings(std::string_view key,
                                                                 Cause cause) const {
  const Result<GgufArray> values = array(key, cause);
  if (!values.ok()) return values.status();
  Result<std::vector<std::string_view>> texts = values->to_strings();
  if (!texts.ok()) return wrong_type(texts.status(), key, "expected an array of strings", cause);
  return texts;
}

Result<std::vector<std::string_view>> TokenizerMetadata::tokens() const {
  Result<std::vector<std::string_view>> texts = strings(keys::kTokens, Cause::vocabulary);
  if (!texts.ok()) return texts;
  if (texts->size() < 2) return error(keys::kTokens, "fewer than two tokens");
  if (texts->size() > INT32_MAX) return error(keys::kTokens, "more than 2^31 - 1 tokens");
  if (std::all_of(texts->begin(), texts->end(),
                  [&](std::string_view text) { return text == texts->front(); })) {
    return error(keys::kTokens, "all tokens have the same text");
  }
  return texts;
}

Result<std::vector<TokenType>> TokenizerMetadata::token_types(size_t n_tokens) const {
  std::vector<TokenType> types(n_tokens, TokenType::normal);
  if (!has(keys::kTokenType)) return types;
  const Result<GgufArray> values = array(keys::kTokenType);
  if (!values.ok()) return values.status();
  if (values->element_type() != GgufType::i32 && values->element_type() != GgufType::u32) {
    return error(keys::kTokenType, "expected 32-bit integers");
  }
  if (values->size() != n_tokens) {
    return error(keys::kTokenType, std::to_string(values->size()) + " types for " +
                                       std::to_string(n_tokens) + " tokens");
  }
  const Result<std::vector<int64_t>> integers = values->to_integers();
  if (!integers.ok())
    return wrong_type(integers.status(), keys::kTokenType, "expected 32-bit integers");
  for (size_t i = 0; i < n_tokens; ++i) {
    const int64_t type = (*integers)[i];
    if (type < int64_t(TokenType::normal) || type > int64_t(TokenType::byte)) {
      return error(keys::kTokenType,
                   "token " + std::to_string(i) + " has the unknown type " + std::to_string(type));
    }
    types[i] = static_cast<TokenType>(type);
  }
  return types;
}

Result<std::vector<float>> TokenizerMetadata::scores(size_t n_tokens) const {
  const Result<GgufArray> values = array(keys::kScores);
  if (!values.ok()) return values.status();
  if (values->element_type() != GgufType::f32) {
    return error(keys::kScores, "expected an array of float32");
  }
  if (values->size() != n_tokens) {
    return error(keys::kScores, std::to_string(values->size()) + " scores for " +
                                    std::to_string(n_tokens) + " tokens");
  }
  Result<std::vector<float>> scores = values->to_floats();
  if (!scores.ok())
    return wrong_type(scores.status(), keys::kScores, "expected an array of float32");
  for (size_t i = 0; i < n_tokens; ++i) {
    if (!std::isfinite((*scores)[i])) {
      return error(keys::kScores, "the score of token " + std::to_string(i) + " is not finite");
    }
  }
  return scores;
}

Result<std::vector<std::string_view>> TokenizerMetadata::merges() const {
  return strings(keys::kMerges, Cause::merges);
}

Result<std::string_view> TokenizerMetadata::blob(std::string_view key) const {
  const Result<GgufArray> values = array(key);
  if (!values.ok()) return values.status();
  if (values->element_type() != GgufType::u8 && values->element_type() != GgufType::i8) {
    return error(key, "expected an array of 8-bit integers");
  }
  return std::string_view(reinterpret_cast<const char*>(values->raw().data()),
                          values->raw().size());
}

}  // namespace larder::formats
