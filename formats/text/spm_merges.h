// The merges that a SentencePiece BPE vocabulary implies: two adjacent symbols merge if their texts
// together are a token, the higher its score the earlier.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "formats/text/pair_merger.h"
#include "formats/text/token_table.h"

namespace larder::formats {

// Symbols are numbers: tokens by their id; then the characters that are no token but begin or end
// inside one; then every other character (n_symbols + code point), which never merges.
class SpmMerges {
 public:
  SpmMerges(const TokenTable& tokens, const std::vector<float>& scores);

  const MergeTable& table() const noexcept { return table_; }
  TokenId symbol_of(uint32_t code_point) const noexcept;
  // The code point of a symbol that is no token.
  uint32_t code_point_of(TokenId symbol) const noexcept;
  // Whether no token goes on after a space inside it, so that words merge independently.
  bool words_are_independent() const noexcept { return words_are_independent_; }

 private:
  struct Piece {
    std::string_view text;
    TokenId symbol;
  };
  // For each piece (in the order of their texts) the longest other piece that it begins with.
  static std::vector<int32_t> longest_prefixes(const std::vector<Piece>& pieces);
  std::vector<Piece> pieces_of(const TokenTable& tokens);
  void name_characters(const TokenTable& tokens);
  void find_merges(const TokenTable& tokens, const std::vector<float>& scores,
                   std::vector<Piece> pieces);

  MergeTable table_{0};
  std::array<TokenId, 128> ascii_symbol_;
  std::unordered_map<uint32_t, TokenId> symbol_;  // of characters that are or occur in tokens
  std::vector<uint32_t> extra_characters_;        // by symbol - n_vocab
  std::string extra_texts_;                       // what the pieces of extra characters view
  TokenId n_vocab_;
  bool words_are_independent_ = true;
};

}  // namespace larder::formats
