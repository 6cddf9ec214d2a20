#include "formats/text/tokenizer_spm.h"

#include <algorithm>

#include "formats/text/space_mark.h"
#include "formats/text/unicode.h"

namespace larder::formats {

namespace keys = tokenizer_keys;

namespace {

// The byte that "<0x41>" spells, or -1.
int spelled_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const bool is_decimal = c >= '0' && c <= '9';
    if (!is_decimal && !(c >= 'A' && c <= 'F')) return -1;
    value = value * 16 + (is_decimal ? c - '0' : c - 'A' + 10);
  }
  return value;
}

// The first word of marked-up text: up to the next space mark that follows anything else.
size_t word_bytes(std::string_view text) {
  size_t at = 0;
  while (text.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
  const size_t space = text.find(kSpaceMark, at);
  return space == text.npos ? text.size() : space;
}

}  // namespace

struct SpmTokenizer::Workspace {
  PieceCache cache;
  PairMerger merger;
  std::vector<TokenId> symbols;
  std::string marked;
};

Result<std::shared_ptr<const Tokenizer>> SpmTokenizer::create(const TokenizerMetadata& metadata) {
  // What llama's first files leave out. Source: SentencePiece's default ids.
  Result<std::unique_ptr<Vocabulary>> vocabulary =
      Vocabulary::read(metadata, {.bos = 1, .eos = 2, .unknown = 0, .adds_bos = true});
  if (!vocabulary.ok()) return vocabulary.status();
  const TokenTable& tokens = (*vocabulary)->tokens;
  (*vocabulary)->model_name = "llama";
  (*vocabulary)->pre_tokenizer_name = "default";
  (*vocabulary)->unknown_surface = kUnknownText;
  const Result<std::vector<float>> scores = metadata.scores(size_t(tokens.size()));
  if (!scores.ok()) return scores.status();
  const Result<ByteTokens> bytes = find_byte_tokens(tokens, metadata.has(keys::kTokenType));
  if (!bytes.ok()) return bytes.status();
  const Result<bool> adds_space = metadata.flag(keys::kAddSpacePrefix, true);
  if (!adds_space.ok()) return adds_space.status();
  std::vector<TokenId> swallows_space = space_swallowing_tokens(tokens);
  return std::shared_ptr<const Tokenizer>(new SpmTokenizer(
      std::move(*vocabulary), std::move(swallows_space), *scores, *bytes, *adds_space));
}

// Files without types call every token normal; there the spelling alone decides.
Result<SpmTokenizer::ByteTokens> SpmTokenizer::find_byte_tokens(const TokenTable& tokens,
                                                                bool has_types) {
  ByteTokens byte_token;
  byte_token.fill(kNoToken);
  for (TokenId id = 0; id < tokens.size(); ++id) {
    if (has_types && tokens.type(id) != TokenType::byte) continue;
    const int byte = spelled_byte(tokens.text(id));
    if (byte < 0 && !has_types) continue;
    if (byte < 0) {
      return TokenizerMetadata::error(
          keys::kTokens, "byte token " + std::to_string(id) + " is not spelt <0x00> to <0xFF>");
    }
    if (byte_token[size_t(byte)] != kNoToken) {
      return TokenizerMetadata::error(keys::kTokens,
                                      "two byte tokens for byte " + std::to_string(byte));
    }
    byte_token[size_t(byte)] = id;
  }
  return byte_token;
}

SpmTokenizer::SpmTokenizer(std::unique_ptr<Vocabulary> vocabulary,
                           std::vector<TokenId> swallows_space, const std::vector<float>& scores,
                           const ByteTokens& byte_token, bool adds_space)
    : FragmentTokenizer(std::move(vocabulary), std::move(swallows_space)),
      merges_(tokens(), scores),
      byte_token_(byte_token),
      adds_space_(adds_space) {}

void SpmTokenizer::encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                                    std::vector<TokenId>& ids) const {
  Workspace work = {PieceCache(text.size()), PairMerger(merges_.table()), {}, {}};
  for (const Fragment& fragment : fragments) {
    if (fragment.token != kNoToken) {
      ids.push_back(fragment.token);
      continue;
    }
    work.marked.assign(adds_space_ ? kSpaceMark : std::string_view());
    append_with_marks(work.marked, text.substr(fragment.begin, fragment.end - fragment.begin));
    for (std::string_view rest = work.marked; !rest.empty();) {
      const size_t n_bytes = merges_.words_are_independent() ? word_bytes(rest) : rest.size();
      encode_word(rest.substr(0, n_bytes), work, ids);
      rest.remove_prefix(n_bytes);
    }
  }
}

void SpmTokenizer::encode_word(std::string_view word, Workspace& work,
                               std::vector<TokenId>& ids) const {
  if (work.cache.append_known(word, ids)) return;
  const size_t first_id = ids.size();
  work.symbols.clear();
  for (size_t at = 0; at < word.size();) {
    const DecodedChar c = decode_utf8(word, at);
    work.symbols.push_back(merges_.symbol_of(c.code_point));
    at += c.n_bytes;
  }
  work.merger.merge(work.symbols);
  for (const TokenId symbol : work.symbols) {
    if (symbol < n_vocab()) {
      ids.push_back(symbol);
    } else {
      append_unmerged(symbol, ids);
    }
  }
  work.cache.remember(word, ids, first_id);
}

void SpmTokenizer::append_unmerged(TokenId symbol, std::vector<TokenId>& ids) const {
  std::string bytes;
  append_utf8(bytes, merges_.code_point_of(symbol));
  const auto token_of = [&](char byte) { return byte_token_[static_cast<unsigned char>(byte)]; };
  const bool can_spell = std::all_of(bytes.begin(), bytes.end(),
                                     [&](char byte) { return token_of(byte) != kNoToken; });
  if (can_spell) {
    for (const char byte : bytes) ids.push_back(token_of(byte));
  } else if (unknown() != kNoToken) {
    ids.push_back(unknown());
  }
}

std::string SpmTokenizer::token_bytes(TokenId id, bool show_control) const {
  const std::string_view text = this->text(id);
  const int byte = spelled_byte(text);
  if (byte >= 0 && byte_token_[size_t(byte)] == id) {
    return std::string(1, static_cast<char>(byte));
  }
  if (type(id) == TokenType::control) return show_control ? std::string(text) : std::string();
  std::string bytes;
  append_with_spaces(bytes, text);
  return bytes;
}

}  // namespace larder::formats
