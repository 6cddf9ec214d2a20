// Splits text into the pieces inside which byte-level BPE merges, by the rules that GGUF files name
// in tokenizer.ggml.pre. The published definitions are regular expressions; here each is a scanner
// that looks at every character a bounded number of times.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "formats/text/marked_text.h"

namespace larder::formats {

// The first piece of `text` at or after `from`; [size, size) if there is none. Text between pieces
// is a piece of its own.
using FindPiece = ByteRange (*)(std::string_view text, size_t from) noexcept;

struct PretokenizerRule {
  std::string_view name;              // tokenizer.ggml.pre
  std::span<const FindPiece> passes;  // each re-splits the pieces of the one before it
  bool normalizes_nfc = false;
  bool ignores_merges = false;  // a piece that is a token is that token, whatever the merges say
  bool adds_bos = false;        // where the file does not say
};

inline constexpr size_t kMaxPasses = 6;

// Null for an unknown name.
const PretokenizerRule* find_pretokenizer_rule(std::string_view name) noexcept;
std::span<const PretokenizerRule> pretokenizer_rules() noexcept;

// Walks the pieces of one text, which they cover without gaps.
class PieceCursor {
 public:
  PieceCursor(const PretokenizerRule& rule, std::string_view text) noexcept
      : passes_(rule.passes), text_(text) {}
  bool at_end() const noexcept { return at_ == text_.size(); }
  // REQUIRES: !at_end()
  std::string_view next() noexcept;

 private:
  struct Segment {
    size_t end = 0;       // of the segment that this pass is in
    size_t next_end = 0;  // of the match that begins there, if that is known and not empty
  };
  std::span<const FindPiece> passes_;
  std::string_view text_;
  size_t at_ = 0;
  std::array<Segment, kMaxPasses> segments_;
};

}  // namespace larder::formats
