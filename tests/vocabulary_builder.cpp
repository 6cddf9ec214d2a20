#include "tests/vocabulary_builder.h"

#include <cstdio>
#include <span>

#include "formats/gguf/gguf_reader.h"

namespace larder::tests {

namespace {

const char* const kSpace = "\u2581";

std::string spelled_byte(unsigned byte) {
  unsigned c = byte, n_before = 0;
  const auto is_plain = [](unsigned b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xFF && b != 0xAD);
  };
  if (!is_plain(byte)) {
    for (unsigned b = 0; b < byte; ++b) n_before += !is_plain(b);
    c = 0x100 + n_before;
  }
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
}

std::string byte_token(unsigned byte) {
  char text[8];
  std::snprintf(text, sizeof(text), "<0x%02X>", byte);
  return text;
}

}  // namespace

int32_t VocabularyBuilder::add(std::string text, int32_t type, float score) {
  tokens.push_back({std::move(text), type, score});
  return static_cast<int32_t>(tokens.size() - 1);
}

GgufBuilder VocabularyBuilder::file() const {
  GgufBuilder file;
  Bytes texts, types, scores;
  for (const Token& token : tokens) {
    texts += sized(token.text);
    types += le32(static_cast<uint32_t>(token.type));
    scores += le_f32(token.score);
  }
  file.keys = {key_string("general.architecture", "llama"),
               key_string("tokenizer.ggml.model", model), key_string("tokenizer.ggml.pre", pre),
               key_array("tokenizer.ggml.tokens", kString, tokens.size(), texts),
               key_array("tokenizer.ggml.token_type", kI32, tokens.size(), types)};
  if (model == "gpt2") {
    Bytes rules;
    for (const std::string& merge : merges) rules += sized(merge);
    file.keys.push_back(key_array("tokenizer.ggml.merges", kString, merges.size(), rules));
  } else {
    file.keys.push_back(key_array("tokenizer.ggml.scores", kF32, tokens.size(), scores));
  }
  return file;
}

std::string spelled_bytes(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += spelled_byte(static_cast<unsigned char>(byte));
  return text;
}

VocabularyBuilder byte_level(std::string pre) {
  VocabularyBuilder vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = std::move(pre);
  for (unsigned byte = 0; byte < 256; ++byte) vocabulary.add(spelled_byte(byte));
  for (const auto& [left, right] :
       std::vector<std::pair<std::string, std::string>>{{"h", "e"},
                                                        {"l", "l"},
                                                        {"he", "ll"},
                                                        {"hell", "o"},
                                                        {" ", "w"},
                                                        {"A", "A"},
                                                        {"AA", "AA"},
                                                        {" ", " "},
                                                        {"\xCC", "\x81"}}) {
    vocabulary.add(spelled_bytes(left + right));
    vocabulary.merges.push_back(spelled_bytes(left) + ' ' + spelled_bytes(right));
  }
  return vocabulary;
}

VocabularyBuilder sentencepiece() {
  VocabularyBuilder vocabulary;
  vocabulary.model = "llama";
  vocabulary.pre = "default";
  vocabulary.add("<unk>", kUnknown);
  vocabulary.add("<s>", kControl);
  vocabulary.add("</s>", kControl);
  for (unsigned byte = 0; byte < 256; ++byte) vocabulary.add(byte_token(byte), kByteToken);
  const std::string space = kSpace;
  float score = 0;
  for (const std::string& text :
       {std::string("he"), std::string("ll"), std::string("hell"), std::string("hello"),
        space + "hello", space + "w", std::string("AA"), std::string("AAAA"), space + space, space,
        std::string("h"), std::string("e"), std::string("l"), std::string("o"), std::string("w"),
        std::string("A")}) {
    vocabulary.add(text, kNormal, score -= 1);
  }
  return vocabulary;
}

VocabularyBuilder unigram() {
  VocabularyBuilder vocabulary;
  vocabulary.model = "t5";
  vocabulary.pre = "default";
  vocabulary.add("<pad>", kControl);
  vocabulary.add("</s>", kControl);
  vocabulary.add("<unk>", kUnknown);
  const std::string space = kSpace;
  for (const std::string& text :
       {space, std::string("h"), std::string("e"), std::string("l"), std::string("o"),
        std::string("A"), std::string("he"), std::string("ll"), space + "hello", space + "he",
        std::string("AA")}) {
    vocabulary.add(text, kNormal, -2.0F - 0.5F * static_cast<float>(vocabulary.tokens.size()));
  }
  return vocabulary;
}

Result<std::shared_ptr<const formats::Tokenizer>> tokenizer_of(const Bytes& file) {
  const auto parsed =
      formats::GgufFile::parse(std::as_bytes(std::span(file.data(), file.size())), "test.gguf");
  if (!parsed.ok()) return parsed.status();
  return formats::Tokenizer::create(**parsed);
}

Result<std::shared_ptr<const formats::Tokenizer>> tokenizer_of(const GgufBuilder& file) {
  return tokenizer_of(file.build());
}

}  // namespace larder::tests
