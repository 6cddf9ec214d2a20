// SentencePiece BPE ("llama"): characters merged by the scores of the tokens they make, over whole
// stretches of text; characters that stay without a token become byte tokens.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "formats/text/fragment_tokenizer.h"
#include "formats/text/piece_cache.h"
#include "formats/text/spm_merges.h"

namespace larder::formats {

class SpmTokenizer final : public FragmentTokenizer {
 public:
  // Byte tokens must be spelt <0x00> to <0xFF>, each at most once. A vocabulary without them, or
  // with some only, turns what it cannot spell into the unknown token.
  static Result<std::shared_ptr<const Tokenizer>> create(const TokenizerMetadata& metadata);

  std::string token_bytes(TokenId id, bool show_control) const override;
  bool strips_leading_space() const noexcept override { return adds_space_; }

 private:
  using ByteTokens = std::array<TokenId, 256>;
  static Result<ByteTokens> find_byte_tokens(const TokenTable& tokens, bool has_types);

  SpmTokenizer(std::unique_ptr<Vocabulary> vocabulary, std::vector<TokenId> swallows_space,
               const std::vector<float>& scores, const ByteTokens& byte_token, bool adds_space);
  struct Workspace;

  void encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                        std::vector<TokenId>& ids) const override;
  void encode_word(std::string_view word, Workspace& work, std::vector<TokenId>& ids) const;
  void append_unmerged(TokenId symbol, std::vector<TokenId>& ids) const;

  SpmMerges merges_;
  ByteTokens byte_token_;
  bool adds_space_;  // one space before every stretch of ordinary text
};

}  // namespace larder::formats
