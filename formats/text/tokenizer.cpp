#include "formats/text/tokenizer.h"

#include <algorithm>
#include <cassert>
#include <new>

#include "formats/text/tokenizer_bpe.h"
#include "formats/text/tokenizer_spm.h"
#include "formats/text/tokenizer_unigram.h"
#include "formats/text/vocabulary.h"

namespace larder::formats {

namespace keys = tokenizer_keys;

namespace {

struct ModelKind {
  std::string_view name;
  Result<std::shared_ptr<const Tokenizer>> (*create)(const TokenizerMetadata& metadata);
};
constexpr ModelKind kModelKinds[] = {
    {"gpt2", BpeTokenizer::create},
    {"llama", SpmTokenizer::create},
    {"t5", UnigramTokenizer::create},
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(const GgufFile& file) try {
  const TokenizerMetadata metadata(file);
  const Result<std::string_view> model = metadata.required_text(keys::kModel);
  if (!model.ok()) return model.status().with_file(file.path());
  for (const ModelKind& kind : kModelKinds) {
    if (kind.name != *model) continue;
    try {
      Result<std::shared_ptr<const Tokenizer>> tokenizer = kind.create(metadata);
      if (!tokenizer.ok()) return tokenizer.status().with_file(file.path());
      return tokenizer;
    } catch (const std::bad_alloc&) {
      return Status(Cause::out_of_memory, "not enough memory for the vocabulary")
          .with_file(file.path());
    }
  }
  return TokenizerMetadata::error(keys::kModel, "unknown tokenizer model \"" + std::string(*model) +
                                                    "\"; known are gpt2, llama and t5")
      .with_file(file.path());
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Tokenizer::Tokenizer(std::unique_ptr<Vocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {}
Tokenizer::~Tokenizer() = default;

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids, bool show_control) const try {
  std::string text;
  bool at_start = strips_leading_space();
  for (const TokenId id : ids) {
    if (id < 0 || id >= n_vocab()) {
      return Status(Cause::vocabulary, "token " + std::to_string(id) +
                                           " is outside the vocabulary of " +
                                           std::to_string(n_vocab()) + " tokens");
    }
    const bool is_unknown = type(id) == TokenType::unknown;
    const std::string bytes = is_unknown && !vocabulary_->unknown_surface.empty()
                                  ? std::string(vocabulary_->unknown_surface)
                                  : token_bytes(id, show_control);
    const bool strips = at_start && bytes.starts_with(' ');
    text.append(bytes, strips ? 1 : 0);
    if (!bytes.empty()) at_start = false;
  }
  return text;
} catch (const std::bad_alloc&) {
  return Status(Cause::out_of_memory, "not enough memory for the decoded text");
}

int32_t Tokenizer::n_vocab() const noexcept { return vocabulary_->tokens.size(); }

std::string_view Tokenizer::text(TokenId id) const {
  assert(id >= 0 && id < n_vocab());
  return vocabulary_->tokens.text(id);
}

TokenType Tokenizer::type(TokenId id) const {
  assert(id >= 0 && id < n_vocab());
  return vocabulary_->tokens.type(id);
}

TokenId Tokenizer::find(std::string_view text) const noexcept {
  return vocabulary_->tokens.find(text);
}

TokenId Tokenizer::bos() const noexcept { return vocabulary_->bos; }
TokenId Tokenizer::eos() const noexcept { return vocabulary_->eos; }
TokenId Tokenizer::unknown() const noexcept { return vocabulary_->unknown; }
TokenId Tokenizer::padding() const noexcept { return vocabulary_->padding; }
bool Tokenizer::adds_bos() const noexcept { return vocabulary_->adds_bos; }
bool Tokenizer::adds_eos() const noexcept { return vocabulary_->adds_eos; }

bool Tokenizer::is_end_of_generation(TokenId id) const noexcept {
  return std::binary_search(vocabulary_->ends_generation.begin(),
                            vocabulary_->ends_generation.end(), id);
}

std::string_view Tokenizer::model_name() const noexcept { return vocabulary_->model_name; }
std::string_view Tokenizer::pre_tokenizer_name() const noexcept {
  return vocabulary_->pre_tokenizer_name;
}

}  // namespace larder::formats
