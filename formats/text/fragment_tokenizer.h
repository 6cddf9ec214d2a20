// The part of encoding that all tokenizer kinds share: special tokens are cut out first, then each
// kind encodes what is between them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "formats/text/special_tokens.h"
#include "formats/text/tokenizer.h"
#include "formats/text/vocabulary.h"

namespace larder::formats {

class FragmentTokenizer : public Tokenizer {
 public:
  Status encode(std::string_view text, SpecialTokens special,
                std::vector<TokenId>& ids) const final;
  Status encode(const MarkedText& text, std::vector<TokenId>& ids) const final;

 protected:
  FragmentTokenizer(std::unique_ptr<Vocabulary> vocabulary, std::vector<TokenId> swallows_space);

  // Appends the ids of all fragments, in order.
  virtual void encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                                std::vector<TokenId>& ids) const = 0;

  const TokenTable& tokens() const noexcept { return vocabulary_->tokens; }

 private:
  SpecialTokenMatcher specials_;
};

}  // namespace larder::formats
