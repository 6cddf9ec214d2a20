// Builds a small vocabulary of the kind and shape that the first bytes choose, then encodes the
// rest in every mode and decodes all of it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/pretokenizer.h"
#include "formats/text/tokenizer.h"
#include "tests/vocabulary_builder.h"

namespace {

using namespace larder::formats;
using namespace larder::tests;

void require(bool claim) {
  if (!claim) __builtin_trap();
}

// Takes choices from the front of the input; zeros when it is used up.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  unsigned below(unsigned n) {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return byte % n;
  }
  std::string text(unsigned max_bytes) {
    const size_t n = std::min<size_t>(below(max_bytes + 1), rest_.size());
    const std::string text(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return text;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

VocabularyBuilder vocabulary_of(Choices& choices, unsigned kind) {
  const auto rules = pretokenizer_rules();
  VocabularyBuilder vocabulary =
      kind == 0   ? byte_level(std::string(rules[choices.below(unsigned(rules.size()))].name))
      : kind == 1 ? sentencepiece()
                  : unigram();
  for (unsigned n = choices.below(8); n > 0; --n) {
    // Bytes are spelt only by the tokens that are there already: round trips must hold.
    const auto type = static_cast<int32_t>(kNormal + choices.below(5));
    const std::string text = choices.text(6);
    vocabulary.add(kind == 0 && choices.below(2) ? spelled_bytes(text) : text, type,
                   static_cast<float>(choices.below(20)) - 10);
  }
  for (unsigned n = kind == 0 ? choices.below(6) : 0; n > 0; --n) {
    const auto any = [&] { return vocabulary.tokens[choices.below(255)].text; };
    vocabulary.merges.push_back(any() + ' ' + any());
  }
  return vocabulary;
}

RawKey random_map(Choices& choices) {
  const std::string units = choices.text(200), replacements = choices.text(40);
  const larder::tests::Bytes blob =
      le32(static_cast<uint32_t>(units.size() / 4 * 4)) + units + replacements + '\0';
  return key_array("tokenizer.ggml.precompiled_charsmap", kU8, blob.size(), blob);
}

std::string streamed(const std::shared_ptr<const Tokenizer>& tokenizer,
                     const std::vector<TokenId>& ids) {
  StreamDecoder decoder(tokenizer, true, true);
  std::string text;
  for (const TokenId id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

void check(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text,
           const std::vector<TokenId>& ids, bool gives_text_back) {
  for (const TokenId id : ids) require(id >= 0 && id < tokenizer->n_vocab());
  const auto decoded = tokenizer->decode(ids, true);
  require(decoded.ok());
  const bool has_unknown = tokenizer->model_name() != "gpt2";
  if (!has_unknown) require(*decoded == streamed(tokenizer, ids));
  if (gives_text_back) require(*decoded == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Choices choices(data, size);
  const unsigned kind = choices.below(3);
  const VocabularyBuilder vocabulary = vocabulary_of(choices, kind);
  GgufBuilder file = vocabulary.file();
  if (kind == 2 && choices.below(2)) file.keys.push_back(random_map(choices));
  if (kind != 0) {
    file.keys.push_back(key_bool("tokenizer.ggml.add_space_prefix", choices.below(2) == 0));
    file.keys.push_back(key_bool("tokenizer.ggml.remove_extra_whitespaces", choices.below(2) == 0));
  }
  const auto created = tokenizer_of(file);
  if (!created.ok()) {
    require(!created.status().to_string().empty());
    return 0;
  }
  const std::shared_ptr<const Tokenizer> tokenizer = *created;
  const std::string_view text = choices.rest();
  const bool normalizes =
      tokenizer->pre_tokenizer_name() == "qwen2" || tokenizer->pre_tokenizer_name() == "qwen35" ||
      tokenizer->pre_tokenizer_name() == "hunyuan" || tokenizer->pre_tokenizer_name() == "olmo";

  std::vector<TokenId> plain, special, marked;
  require(tokenizer->encode(text, SpecialTokens::as_text, plain).ok());
  require(tokenizer->encode(text, SpecialTokens::recognised, special).ok());
  check(tokenizer, text, plain, kind == 0 && !normalizes);
  check(tokenizer, text, special, kind == 0 && !normalizes);
  for (const TokenId id : plain) require(tokenizer->type(id) != TokenType::control);
  // Behind an added token SentencePiece puts another space; a mark in the text becomes one.
  const bool has_added = std::any_of(plain.begin(), plain.end(), [&](TokenId id) {
    return tokenizer->type(id) == TokenType::user_defined;
  });
  const bool has_mark = text.find("\u2581") != text.npos;
  if (kind == 1 && !has_added && !has_mark) require(tokenizer->decode(plain).value() == text);

  MarkedText prompt{std::string(text), {}};
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at + static_cast<unsigned char>(text[at]) % 16;
    const size_t end = std::min(text.size(), begin + 1 + static_cast<unsigned char>(text[at]) / 16);
    if (begin >= end) break;
    prompt.inputs.push_back({begin, end});
    at = end;
  }
  require(tokenizer->encode(prompt, marked).ok());
  check(tokenizer, text, marked, kind == 0 && !normalizes);
  return 0;
}
