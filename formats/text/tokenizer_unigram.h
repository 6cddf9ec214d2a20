// Unigram ("t5"): of all ways to cut the normalised text into tokens, the one with the highest sum
// of scores.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/text/byte_automaton.h"
#include "formats/text/charsmap.h"
#include "formats/text/fragment_tokenizer.h"

namespace larder::formats {

class UnigramTokenizer final : public FragmentTokenizer {
 public:
  static Result<std::shared_ptr<const Tokenizer>> create(const TokenizerMetadata& metadata);

  std::string token_bytes(TokenId id, bool show_control) const override;
  bool strips_leading_space() const noexcept override { return options_.adds_space; }

 private:
  struct Options {
    Charsmap charsmap;
    bool adds_space = true;           // before every stretch of ordinary text
    bool removes_extra_space = true;  // at both ends, and all but one between words
  };
  struct Piece {
    TokenId token;
    float score;
    uint32_t n_bytes;
  };
  UnigramTokenizer(std::unique_ptr<Vocabulary> vocabulary, Options options,
                   std::vector<Piece> pieces);
  // The tokens that text may become, each text once.
  static std::vector<Piece> pieces_of(const TokenTable& tokens, const std::vector<float>& scores);
  static ByteAutomaton automaton_of(const TokenTable& tokens, const std::vector<Piece>& pieces);
  struct Workspace;

  void encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                        std::vector<TokenId>& ids) const override;
  std::string normalized(std::string_view text) const;
  void find_best_path(std::string_view text, Workspace& work) const;
  void append_path(const Workspace& work, std::vector<TokenId>& ids) const;

  Options options_;
  std::vector<Piece> pieces_;  // by the automaton's patterns
  ByteAutomaton automaton_;
  float unknown_score_;
};

}  // namespace larder::formats
