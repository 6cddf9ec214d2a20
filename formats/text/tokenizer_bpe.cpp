#include "formats/text/tokenizer_bpe.h"

#include <algorithm>

#include "formats/text/byte_spelling.h"
#include "formats/text/nfc.h"

namespace larder::formats {

namespace keys = tokenizer_keys;

namespace {

// User-defined tokens are literal text, the others spell bytes; where the two differ, bytes must
// not become the literal.
bool may_emerge(const TokenTable& tokens, TokenId id) {
  if (id == kNoToken || !tokens.is_mergeable(id)) return false;
  return tokens.type(id) != TokenType::user_defined || spelled(tokens.text(id)) == tokens.text(id);
}

Result<MergeTable> read_merges(const TokenizerMetadata& metadata, const TokenTable& tokens) {
  const Result<std::vector<std::string_view>> rules = metadata.merges();
  if (!rules.ok()) return rules.status();
  if (rules->size() >= MergeTable::kNoRank) {
    return TokenizerMetadata::error(keys::kMerges, "too many merges", Cause::merges);
  }
  MergeTable merges(rules->size());
  std::string merged_text;
  for (size_t rank = 0; rank < rules->size(); ++rank) {
    const std::string_view rule = (*rules)[rank];
    const size_t space = rule.find(' ');
    if (space == 0 || space == rule.npos || space + 1 == rule.size() ||
        rule.find(' ', space + 1) != rule.npos) {
      return TokenizerMetadata::error(
          keys::kMerges, "merge " + std::to_string(rank) + " is not two texts with a space between",
          Cause::merges);
    }
    const TokenId left = tokens.find(rule.substr(0, space));
    const TokenId right = tokens.find(rule.substr(space + 1));
    if (left == kNoToken || right == kNoToken) continue;
    merged_text.assign(rule, 0, space);
    merged_text.append(rule, space + 1);
    const TokenId merged = tokens.find(merged_text);
    if (!may_emerge(tokens, merged)) continue;
    merges.add(left, right, {static_cast<uint32_t>(rank), merged});
  }
  return merges;
}

}  // namespace

struct BpeTokenizer::Workspace {
  PieceCache cache;
  PairMerger merger;
  std::vector<TokenId> symbols;
  std::string normalized;
};

Result<std::shared_ptr<const Tokenizer>> BpeTokenizer::create(const TokenizerMetadata& metadata) {
  const Result<std::string_view> pre = metadata.required_text(keys::kPre);
  if (!pre.ok()) return pre.status();
  const PretokenizerRule* const rule = find_pretokenizer_rule(*pre);
  if (rule == nullptr) {
    return TokenizerMetadata::error(keys::kPre,
                                    "unknown pre-tokenizer \"" + std::string(*pre) + "\"");
  }
  Result<std::unique_ptr<Vocabulary>> vocabulary =
      Vocabulary::read(metadata, {.adds_bos = rule->adds_bos});
  if (!vocabulary.ok()) return vocabulary.status();
  (*vocabulary)->model_name = "gpt2";
  (*vocabulary)->pre_tokenizer_name = *pre;
  Result<MergeTable> merges = read_merges(metadata, (*vocabulary)->tokens);
  if (!merges.ok()) return merges.status();
  return std::shared_ptr<const Tokenizer>(
      new BpeTokenizer(std::move(*vocabulary), *rule, std::move(*merges)));
}

BpeTokenizer::BpeTokenizer(std::unique_ptr<Vocabulary> vocabulary, const PretokenizerRule& rule,
                           MergeTable merges)
    : FragmentTokenizer(std::move(vocabulary), {}), rule_(rule), merges_(std::move(merges)) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string text;
    append_spelled(text, static_cast<unsigned char>(byte));
    const TokenId id = tokens().find(text);
    const bool spells =
        id != kNoToken && tokens().is_mergeable(id) && tokens().type(id) != TokenType::user_defined;
    byte_token_[static_cast<size_t>(byte)] = spells ? id : kNoToken;
  }
  for (TokenId id = 0; id < tokens().size(); ++id) {
    max_token_bytes_ = std::max(max_token_bytes_, tokens().text(id).size());
  }
}

void BpeTokenizer::encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                                    std::vector<TokenId>& ids) const {
  Workspace work = {PieceCache(text.size()), PairMerger(merges_), {}, {}};
  for (const Fragment& fragment : fragments) {
    if (fragment.token != kNoToken) {
      ids.push_back(fragment.token);
      continue;
    }
    std::string_view raw = text.substr(fragment.begin, fragment.end - fragment.begin);
    if (rule_.normalizes_nfc) raw = normalize_nfc(raw, work.normalized);
    for (PieceCursor pieces(rule_, raw); !pieces.at_end();) encode_piece(pieces.next(), work, ids);
  }
}

void BpeTokenizer::encode_piece(std::string_view piece, Workspace& work,
                                std::vector<TokenId>& ids) const {
  if (work.cache.append_known(piece, ids)) return;
  const size_t first_id = ids.size();
  TokenId whole = kNoToken;
  if (rule_.ignores_merges && piece.size() <= max_token_bytes_) {
    whole = tokens().find(spelled(piece));
  }
  if (may_emerge(tokens(), whole)) {
    ids.push_back(whole);
  } else {
    work.symbols.clear();
    for (const char byte : piece) {
      const TokenId id = byte_token_[static_cast<unsigned char>(byte)];
      if (id != kNoToken) work.symbols.push_back(id);
    }
    work.merger.merge(work.symbols);
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  }
  work.cache.remember(piece, ids, first_id);
}

std::string BpeTokenizer::token_bytes(TokenId id, bool show_control) const {
  std::string bytes;
  switch (type(id)) {
    case TokenType::control:
    case TokenType::unknown:
      if (show_control) bytes = text(id);
      break;
    case TokenType::user_defined:
      bytes = text(id);
      break;
    default:
      append_unspelled(bytes, text(id));
  }
  return bytes;
}

}  // namespace larder::formats
