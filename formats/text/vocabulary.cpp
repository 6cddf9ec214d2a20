#include "formats/text/vocabulary.h"

#include <algorithm>

namespace larder::formats {

namespace keys = tokenizer_keys;

namespace {

constexpr std::string_view kEndKeys[] = {
    "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id", "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id"};

// With these texts the known chat formats end a turn; the last row are fill-in-the-middle padding
// and the separators of repositories and files. Source: the formats' published templates, 2026-08.
constexpr std::string_view kEndTexts[] = {"<|eot_id|>",
                                          "<|eot|>",
                                          "<|eom|>",
                                          "<|eos|>",
                                          "<|end_of_sentence|>",
                                          "<|endofresponse|>",
                                          "<|role_end|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|flush|>",
                                          "<|calls|>",
                                          "<end_of_turn>",
                                          "<|endoftext|>",
                                          "</s>",
                                          "<|eom_id|>",
                                          "<EOT>",
                                          "_<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "<|end_of_text|>",
                                          "<end_of_utterance>",
                                          "<eos>",
                                          "<turn|>",
                                          "<|tool_response>",
                                          "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
                                          "[e~[",
                                          "<|fim_pad|>",
                                          "<fim-pad>",
                                          "<fim_pad>",
                                          "<|fim_repo|>",
                                          "<|repo_name|>",
                                          "<fim-repo>",
                                          "<reponame>",
                                          "<|file_sep|>"};

// Families, known by two tokens that they alone have, that end an answer by beginning another
// role's. A file's keys have room for two such tokens at most, and most name one.
// Source: eos_token_id in generation_config.json of GLM-4.5 and of Phi-3.5-MoE.
struct EndingRoles {
  std::string_view marks[2], roles[2];
};
constexpr EndingRoles kEndingRoles[] = {
    {{"[gMASK]", "<sop>"}, {"<|user|>", "<|observation|>"}},
    {{"<|placeholder1|>", "<|end|>"}, {"<|assistant|>"}},
};

}  // namespace

Result<std::unique_ptr<Tokenizer::Vocabulary>> Tokenizer::Vocabulary::read(
    const TokenizerMetadata& metadata, const VocabularyDefaults& defaults) {
  const Result<std::vector<std::string_view>> texts = metadata.tokens();
  if (!texts.ok()) return texts.status();
  Result<std::vector<TokenType>> types = metadata.token_types(texts->size());
  if (!types.ok()) return types.status();

  auto vocabulary = std::make_unique<Vocabulary>();
  vocabulary->tokens = TokenTable(*texts, std::move(*types));
  if (Status status = vocabulary->read_ids(metadata, defaults); !status.ok()) return status;
  if (Status status = vocabulary->find_ends_of_generation(metadata); !status.ok()) return status;
  return vocabulary;
}

Status Tokenizer::Vocabulary::read_ids(const TokenizerMetadata& metadata,
                                       const VocabularyDefaults& defaults) {
  struct IdKey {
    std::string_view key;
    TokenId otherwise;
    TokenId* id;
  };
  for (const IdKey& row : {IdKey{"tokenizer.ggml.bos_token_id", defaults.bos, &bos},
                           IdKey{"tokenizer.ggml.eos_token_id", defaults.eos, &eos},
                           IdKey{"tokenizer.ggml.unknown_token_id", defaults.unknown, &unknown},
                           IdKey{"tokenizer.ggml.padding_token_id", defaults.padding, &padding}}) {
    const Result<TokenId> id = metadata.token_id(row.key, tokens.size());
    if (!id.ok()) return id.status();
    *row.id = metadata.has(row.key) || row.otherwise >= tokens.size() ? *id : row.otherwise;
  }
  const Result<bool> add_bos = metadata.flag(keys::kAddBos, defaults.adds_bos);
  if (!add_bos.ok()) return add_bos.status();
  const Result<bool> add_eos = metadata.flag(keys::kAddEos, defaults.adds_eos);
  if (!add_eos.ok()) return add_eos.status();
  adds_bos = *add_bos && bos != kNoToken;
  adds_eos = *add_eos && eos != kNoToken;
  return {};
}

Status Tokenizer::Vocabulary::find_ends_of_generation(const TokenizerMetadata& metadata) {
  const auto add = [&](TokenId id) {
    if (id != kNoToken) ends_generation.push_back(id);
  };
  const auto has = [&](std::string_view text) { return tokens.find(text) != kNoToken; };
  // Ordinary tokens are what people write about: "</s>" is a piece of HTML in Llama 3 and Qwen.
  for (const std::string_view text : kEndTexts) {
    const TokenId id = tokens.find(text);
    if (id != kNoToken && tokens.type(id) != TokenType::normal) add(id);
  }
  for (const EndingRoles& family : kEndingRoles) {
    if (!has(family.marks[0]) || !has(family.marks[1])) continue;
    for (const std::string_view role : family.roles) {
      if (!role.empty()) add(tokens.find(role));
    }
  }
  add(eos);
  for (const std::string_view key : kEndKeys) {
    const Result<TokenId> id = metadata.token_id(key, tokens.size());
    if (!id.ok()) return id.status();
    add(*id);
  }
  const Result<std::vector<TokenId>> more =
      metadata.token_ids("tokenizer.ggml.eos_token_ids", tokens.size());
  if (!more.ok()) return more.status();
  for (const TokenId id : *more) add(id);
  // In these formats <|end|> ends a message and another follows in the same turn, whatever role a
  // file's keys give it: harmony; Solar Open.
  if ((has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"))) {
    std::erase(ends_generation, tokens.find("<|end|>"));
  }
  std::sort(ends_generation.begin(), ends_generation.end());
  ends_generation.erase(std::unique(ends_generation.begin(), ends_generation.end()),
                        ends_generation.end());
  return {};
}

}  // namespace larder::formats
