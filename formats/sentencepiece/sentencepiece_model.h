// tokenizer.model: a SentencePiece model, which is a protocol buffer. Every length is checked
// against the bytes left; fields that nothing here needs are skipped.
// Source: sentencepiece_model.proto of SentencePiece 0.2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/status.h"

namespace larder::formats {

enum class SentencePieceKind : uint8_t { unigram = 1, bpe = 2, word = 3, character = 4 };

struct SentencePiece {
  // The values of the file, which are those of GGUF's token types.
  enum class Type : uint8_t {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6
  };
  std::string text;
  float score = 0;
  Type type = Type::normal;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;
  SentencePieceKind kind = SentencePieceKind::unigram;
  bool falls_back_to_bytes = false;
  int64_t unknown_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;  // -1: none
  std::string charsmap;  // precompiled; empty: nothing is normalised
  bool adds_space_prefix = true;
  bool removes_extra_spaces = true;

  // Errors: `truncated`, `limit`, `value_type`, `vocabulary`, with the byte.
  static Result<SentencePieceModel> parse(std::string_view bytes);
};

}  // namespace larder::formats
