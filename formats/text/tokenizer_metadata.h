// Typed access to the tokenizer.ggml.* keys of a file. Every error is `vocabulary` (`merges` for
// the merge list) and names the key.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/text/token_table.h"

namespace larder::formats {

namespace tokenizer_keys {
inline constexpr std::string_view kModel = "tokenizer.ggml.model";
inline constexpr std::string_view kPre = "tokenizer.ggml.pre";
inline constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
inline constexpr std::string_view kTokenType = "tokenizer.ggml.token_type";
inline constexpr std::string_view kScores = "tokenizer.ggml.scores";
inline constexpr std::string_view kMerges = "tokenizer.ggml.merges";
inline constexpr std::string_view kCharsmap = "tokenizer.ggml.precompiled_charsmap";
inline constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token";
inline constexpr std::string_view kAddEos = "tokenizer.ggml.add_eos_token";
inline constexpr std::string_view kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";
inline constexpr std::string_view kRemoveExtraSpace = "tokenizer.ggml.remove_extra_whitespaces";
}  // namespace tokenizer_keys

class TokenizerMetadata {
 public:
  explicit TokenizerMetadata(const GgufFile& file) : file_(file) {}

  static Status error(std::string_view key, std::string message, Cause cause = Cause::vocabulary);

  bool has(std::string_view key) const { return file_.find(key) != nullptr; }
  Result<std::string_view> required_text(std::string_view key) const;
  Result<bool> flag(std::string_view key, bool otherwise) const;
  // kNoToken where the key is absent or -1 (which u32 spells 2^32 - 1).
  Result<TokenId> token_id(std::string_view key, int32_t n_vocab) const;
  // Empty where the key is absent.
  Result<std::vector<TokenId>> token_ids(std::string_view key, int32_t n_vocab) const;

  // At least two tokens, and not all with the same text. Views live as long as the file.
  Result<std::vector<std::string_view>> tokens() const;
  // 32-bit integers 1 to 6, one for each token; without the key all are normal.
  Result<std::vector<TokenType>> token_types(size_t n_tokens) const;
  // Finite float32, one for each token.
  Result<std::vector<float>> scores(size_t n_tokens) const;
  Result<std::vector<std::string_view>> merges() const;
  // Array of 8-bit integers; views live as long as the file.
  Result<std::string_view> blob(std::string_view key) const;

 private:
  Result<GgufArray> array(std::string_view key, Cause cause = Cause::vocabulary) const;
  Result<std::vector<std::string_view>> strings(std::string_view key, Cause cause) const;

  const GgufFile& file_;
};

}  // namespace larder::formats
