// Small vocabularies as GGUF bytes, well or badly formed. Spells byte-level tokens by code of its
// own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/status.h"
#include "formats/text/tokenizer.h"
#include "tests/gguf_builder.h"

namespace larder::tests {

// Token types of the container.
enum TokenTypeId : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByteToken = 6
};

struct Token {
  std::string text;
  int32_t type = kNormal;
  float score = 0;
};

struct VocabularyBuilder {
  std::string model, pre;
  std::vector<Token> tokens;
  std::vector<std::string> merges;

  int32_t add(std::string text, int32_t type = kNormal, float score = 0);  // its id
  // All keys that the model needs; the result can be edited key by key.
  GgufBuilder file() const;
};

std::string spelled_bytes(const std::string& bytes);

// Ids 0 to 255 are the bytes in order, then a few words with their merges.
VocabularyBuilder byte_level(std::string pre = "gpt-2");
// <unk> <s> </s>, byte tokens 3 to 258, then letters and a few words.
VocabularyBuilder sentencepiece();
// <pad> </s> <unk>, then letters and a few words.
VocabularyBuilder unigram();

Result<std::shared_ptr<const formats::Tokenizer>> tokenizer_of(const Bytes& file);
Result<std::shared_ptr<const formats::Tokenizer>> tokenizer_of(const GgufBuilder& file);

}  // namespace larder::tests
