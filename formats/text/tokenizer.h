// Text to token ids and back, for the tokenizers that GGUF files carry: byte-level BPE ("gpt2"),
// SentencePiece BPE ("llama") and unigram ("t5"). Immutable after creation; any number of threads
// may use one. Linear in the text's length for every input; no recursion, no regex engine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/text/marked_text.h"

namespace larder::formats {

using TokenId = int32_t;
inline constexpr TokenId kNoToken = -1;

// tokenizer.ggml.token_type
enum class TokenType : uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

// Which token texts are recognised in a text as the token itself. User-defined tokens always are
// (tokenizers/README in the field's tools: they are part of the vocabulary's spelling).
enum class SpecialTokens : uint8_t { as_text, recognised };

class Tokenizer {
 public:
  // Reads tokenizer.ggml.*; errors are `vocabulary` and, for the merge list, `merges`, naming the
  // key. An unknown model or pre-tokenizer is `vocabulary` naming the value: never a silent other.
  //   Tokens: at least two, not all alike; where some are, the lowest id counts. Any bytes, ""
  // included, which no text ever matches. Scores: finite float32, where the model needs them.
  //   Ids that the file names are tokens, or -1 for none. Merges are two texts with one space
  // between; those that name no token are ignored. Byte tokens are spelt <0x00> to <0xFF>.
  static Result<std::shared_ptr<const Tokenizer>> create(const GgufFile& file);
  virtual ~Tokenizer();

  // Appends the ids of `text`; adds no BOS or EOS. Special tokens are taken leftmost, then longest.
  // Malformed UTF-8 is kept as bytes (BPE, SPM) or becomes U+FFFD (unigram); what no token can
  // spell becomes the unknown token (SPM, unigram) or nothing (BPE). Control tokens never come out
  // of ordinary text, whatever merges say. Errors: `limit` above 2^31 - 1 bytes, `out_of_memory`;
  // then `ids` is as before.
  virtual Status encode(std::string_view text, SpecialTokens special,
                        std::vector<TokenId>& ids) const = 0;
  // The same for a rendered prompt: control tokens are recognised where no input range touches
  // them; inside input ranges neither they nor markup-like user-defined tokens are.
  virtual Status encode(const MarkedText& text, std::vector<TokenId>& ids) const = 0;

  // The bytes a token stands for in the middle of a text; control tokens give their text only if
  // `show_control`. REQUIRES: 0 <= id < n_vocab().
  virtual std::string token_bytes(TokenId id, bool show_control) const = 0;
  // Whole sequences: as token_bytes, and what belongs to the start of a text (the space that
  // SentencePiece put before it) is removed; the unknown token shows as SentencePiece's " U+2047 "
  // where token_bytes gives the file's spelling. Error: `vocabulary` for an id out of range.
  Result<std::string> decode(std::span<const TokenId> ids, bool show_control = false) const;
  // Whether decoding at the start of a text removes one leading space.
  virtual bool strips_leading_space() const noexcept = 0;

  int32_t n_vocab() const noexcept;
  std::string_view text(TokenId id) const;  // as the file spells it
  TokenType type(TokenId id) const;
  TokenId find(std::string_view text) const noexcept;  // kNoToken if absent
  TokenId bos() const noexcept;                        // kNoToken if the file has none
  TokenId eos() const noexcept;
  TokenId unknown() const noexcept;
  TokenId padding() const noexcept;
  bool adds_bos() const noexcept;
  bool adds_eos() const noexcept;
  // eos, eot, eom and the end texts of known chat formats.
  bool is_end_of_generation(TokenId id) const noexcept;
  std::string_view model_name() const noexcept;          // "gpt2", "llama", "t5"
  std::string_view pre_tokenizer_name() const noexcept;  // "qwen2", ...

 protected:
  struct Vocabulary;
  explicit Tokenizer(std::unique_ptr<Vocabulary> vocabulary);
  std::unique_ptr<const Vocabulary> vocabulary_;
};

// Decodes a stream of tokens; holds back bytes that do not yet make a whole UTF-8 character.
class StreamDecoder {
 public:
  // at_start: the first token begins a text (its leading space may be removed).
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool at_start = false,
                         bool show_control = false);
  // The bytes that can be shown now; complete UTF-8 unless the tokens themselves are not.
  // REQUIRES: 0 <= id < n_vocab().
  std::string push(TokenId id);
  // What was held back, as it is.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string held_;
  bool at_start_, show_control_;
};

}  // namespace larder::formats
