// Recognises control and user-defined tokens in a text, leftmost first, then longest.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "formats/text/byte_automaton.h"
#include "formats/text/marked_text.h"
#include "formats/text/token_table.h"

namespace larder::formats {

// A stretch of the text: ordinary text, or the token that it spells.
struct Fragment {
  size_t begin = 0, end = 0;
  TokenId token = kNoToken;
  bool operator==(const Fragment&) const = default;
};

class SpecialTokenMatcher {
 public:
  // swallows_space: tokens that take the white space after them with them. Takes memory in
  // proportion to the texts of the special tokens.
  SpecialTokenMatcher(const TokenTable& tokens, std::vector<TokenId> swallows_space);

  // The text cut into fragments, none of them empty. Linear in the text's length, however many
  // special tokens there are and however they overlap.
  std::vector<Fragment> split(std::string_view text, SpecialTokens special) const;
  // REQUIRES: the ranges are inside the text, disjoint and ascending.
  std::vector<Fragment> split(const MarkedText& text) const;

 private:
  // Nested: each contains the next.
  enum class Scope : uint8_t { any, user_defined, plain };
  struct Match {
    size_t begin;
    TokenId token;
  };
  using State = ByteAutomaton::State;

  TokenId longest(State state, Scope scope) const {
    return longest_[static_cast<size_t>(scope)][state];
  }
  TokenId longer(TokenId a, TokenId b) const;
  std::vector<Fragment> fragments(std::string_view text, const std::vector<Match>& matches) const;

  const TokenTable& tokens_;
  std::vector<TokenId> swallows_space_;      // ascending
  std::unique_ptr<ByteAutomaton> reversed_;  // walked from right to left: patterns spelt backwards
  std::vector<TokenId> longest_[3];          // of each state, by scope
};

// The Phi-3 family's chat tokens take the white space after them; GGUF has no flag that says so.
// The family is known by the control tokens that it alone has together. Empty for others.
// Source: rstrip of the added tokens in Phi-3's tokenizer.json.
std::vector<TokenId> space_swallowing_tokens(const TokenTable& tokens);

}  // namespace larder::formats
