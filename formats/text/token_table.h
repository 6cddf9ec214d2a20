// The token texts and types of one vocabulary, and the way from a text to its token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/tokenizer.h"

namespace larder::formats {

// A 64-bit mix of all bytes; the same on every machine of one byte order. Not keyed: whoever makes
// collisions slows down only the vocabulary or the text that they bring.
uint64_t hash_text(std::string_view text) noexcept;

class TokenTable {
 public:
  TokenTable() = default;
  // Copies. REQUIRES: one type for each text; fewer than 2^31 texts.
  TokenTable(std::span<const std::string_view> texts, std::vector<TokenType> types);

  int32_t size() const noexcept { return static_cast<int32_t>(types_.size()); }
  std::string_view text(TokenId id) const noexcept {
    const auto i = static_cast<size_t>(id);
    return std::string_view(bytes_).substr(begin_[i], begin_[i + 1] - begin_[i]);
  }
  TokenType type(TokenId id) const noexcept { return types_[static_cast<size_t>(id)]; }
  // The lowest id of that text; kNoToken for "" and for texts that are no token.
  TokenId find(std::string_view text) const noexcept;
  // Tokens that find() never answers because an earlier one has their text, or because it is "".
  int32_t n_hidden() const noexcept { return n_hidden_; }

  // A text that could pass for a piece of markup: "<...>" or "[...]".
  bool is_markup_like(TokenId id) const noexcept;
  // Whether merging ordinary text may end in this token: control tokens never come out of text,
  // nor do tokens that mean markup.
  bool is_mergeable(TokenId id) const noexcept;

 private:
  struct Slot {
    TokenId id = kNoToken;
    uint32_t tag = 0;  // the hash's upper half, so that other texts are rarely looked at
  };
  // The slot that holds `text`, or the empty one where it belongs.
  size_t slot_of(std::string_view text) const noexcept;

  std::string bytes_;
  std::vector<uint64_t> begin_ = {0};
  std::vector<TokenType> types_;
  std::vector<Slot> slots_;  // open addressing, at most half full
  int32_t n_hidden_ = 0;
};

}  // namespace larder::formats
