// Byte-level BPE ("gpt2"): pieces by the pre-tokenizer's rule, bytes merged by rank inside each.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "formats/text/fragment_tokenizer.h"
#include "formats/text/pair_merger.h"
#include "formats/text/piece_cache.h"
#include "formats/text/pretokenizer.h"

namespace larder::formats {

class BpeTokenizer final : public FragmentTokenizer {
 public:
  // Merges that name tokens the vocabulary has not, or that would make a control token out of
  // ordinary text, are ignored; of equal merges the first counts.
  static Result<std::shared_ptr<const Tokenizer>> create(const TokenizerMetadata& metadata);

  std::string token_bytes(TokenId id, bool show_control) const override;
  bool strips_leading_space() const noexcept override { return false; }

 private:
  BpeTokenizer(std::unique_ptr<Vocabulary> vocabulary, const PretokenizerRule& rule,
               MergeTable merges);
  // What one encode call works with.
  struct Workspace;

  void encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                        std::vector<TokenId>& ids) const override;
  void encode_piece(std::string_view piece, Workspace& work, std::vector<TokenId>& ids) const;

  const PretokenizerRule& rule_;
  MergeTable merges_;
  // kNoToken: the vocabulary cannot spell the byte, and text loses it. That only happens to bytes
  // that no UTF-8 has, or in vocabularies that were cut down.
  std::array<TokenId, 256> byte_token_;
  size_t max_token_bytes_ = 0;
};

}  // namespace larder::formats
