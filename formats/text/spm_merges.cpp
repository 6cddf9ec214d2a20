#include "formats/text/spm_merges.h"

#include <algorithm>
#include <functional>

#include "formats/text/space_mark.h"
#include "formats/text/unicode.h"

namespace larder::formats {

namespace {

bool continues_after_space(std::string_view text) {
  bool in_word = false;
  while (!text.empty()) {
    const bool is_space = text.starts_with(kSpaceMark);
    if (is_space && in_word) return true;
    in_word = !is_space;
    text.remove_prefix(is_space ? kSpaceMark.size() : 1);
  }
  return false;
}

// 0 for the highest score; equal scores rank equal, so that position decides.
std::vector<uint32_t> ranks_of(const std::vector<float>& scores) {
  std::vector<float> distinct(scores);
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<uint32_t> ranks;
  ranks.reserve(scores.size());
  for (const float score : scores) {
    const auto found = std::lower_bound(distinct.begin(), distinct.end(), score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(found - distinct.begin()));
  }
  return ranks;
}

struct TokenMerge {
  TokenId left, right;
  MergeTable::Merge merge;
};

}  // namespace

SpmMerges::SpmMerges(const TokenTable& tokens, const std::vector<float>& scores)
    : n_vocab_(tokens.size()) {
  for (TokenId id = 0; id < tokens.size(); ++id) {
    if (tokens.is_mergeable(id) && continues_after_space(tokens.text(id))) {
      words_are_independent_ = false;
    }
  }
  name_characters(tokens);
  find_merges(tokens, scores, pieces_of(tokens));
}

void SpmMerges::name_characters(const TokenTable& tokens) {
  for (TokenId id = 0; id < tokens.size(); ++id) {
    if (!tokens.is_mergeable(id)) continue;
    const std::string_view text = tokens.text(id);
    for (size_t at = 0; at < text.size();) {
      const DecodedChar c = decode_utf8(text, at);
      if (c.code_point < kMalformedByte && !symbol_.contains(c.code_point)) {
        const TokenId token = tokens.find(text.substr(at, c.n_bytes));
        if (token != kNoToken && tokens.is_mergeable(token)) {
          symbol_.emplace(c.code_point, token);
        } else {
          symbol_.emplace(c.code_point, n_vocab_ + static_cast<TokenId>(extra_characters_.size()));
          extra_characters_.push_back(c.code_point);
        }
      }
      at += c.n_bytes;
    }
  }
  for (uint32_t c = 0; c < ascii_symbol_.size(); ++c) {
    const auto found = symbol_.find(c);
    const auto n_symbols = n_vocab_ + static_cast<TokenId>(extra_characters_.size());
    ascii_symbol_[c] = found != symbol_.end() ? found->second : n_symbols + static_cast<TokenId>(c);
  }
}

TokenId SpmMerges::symbol_of(uint32_t code_point) const noexcept {
  if (code_point < ascii_symbol_.size()) return ascii_symbol_[code_point];
  const auto found = symbol_.find(code_point);
  if (found != symbol_.end()) return found->second;
  return n_vocab_ + static_cast<TokenId>(extra_characters_.size() + code_point);
}

uint32_t SpmMerges::code_point_of(TokenId symbol) const noexcept {
  const auto index = static_cast<size_t>(symbol - n_vocab_);
  if (index < extra_characters_.size()) return extra_characters_[index];
  return static_cast<uint32_t>(index - extra_characters_.size());
}

std::vector<SpmMerges::Piece> SpmMerges::pieces_of(const TokenTable& tokens) {
  std::vector<Piece> pieces;
  for (TokenId id = 0; id < tokens.size(); ++id) {
    const std::string_view text = tokens.text(id);
    if (tokens.is_mergeable(id) && tokens.find(text) == id) pieces.push_back({text, id});
  }
  for (const uint32_t c : extra_characters_) append_utf8(extra_texts_, c);
  std::string_view rest = extra_texts_;
  for (size_t i = 0; i < extra_characters_.size(); ++i) {
    const std::string_view text = rest.substr(0, decode_utf8(rest, 0).n_bytes);
    pieces.push_back({text, n_vocab_ + static_cast<TokenId>(i)});
    rest.remove_prefix(text.size());
  }
  return pieces;
}

std::vector<int32_t> SpmMerges::longest_prefixes(const std::vector<Piece>& pieces) {
  std::vector<int32_t> prefix(pieces.size(), -1);
  std::vector<int32_t> open;  // each begins with the one before it
  for (size_t i = 0; i < pieces.size(); ++i) {
    while (!open.empty() && !pieces[i].text.starts_with(pieces[size_t(open.back())].text)) {
      open.pop_back();
    }
    if (!open.empty()) prefix[i] = open.back();
    open.push_back(static_cast<int32_t>(i));
  }
  return prefix;
}

// All ways to cut a token into two pieces, by walking the pieces that it begins with, longest
// first, and those that it ends with, shortest first, until their lengths add up.
void SpmMerges::find_merges(const TokenTable& tokens, const std::vector<float>& scores,
                            std::vector<Piece> pieces) {
  const auto by_text = [](const Piece& a, const Piece& b) { return a.text < b.text; };
  std::string backwards;
  std::vector<Piece> reversed;
  size_t n_bytes = 0;
  for (const Piece& piece : pieces) n_bytes += piece.text.size();
  backwards.reserve(n_bytes);
  for (const Piece& piece : pieces) {
    const size_t begin = backwards.size();
    backwards.append(piece.text.rbegin(), piece.text.rend());
    reversed.push_back({std::string_view(backwards).substr(begin), piece.symbol});
  }
  std::sort(pieces.begin(), pieces.end(), by_text);
  std::sort(reversed.begin(), reversed.end(), by_text);
  const std::vector<int32_t> prefix = longest_prefixes(pieces);
  const std::vector<int32_t> suffix = longest_prefixes(reversed);
  std::vector<size_t> place_reversed(size_t(n_vocab_) + extra_characters_.size());
  for (size_t i = 0; i < reversed.size(); ++i) place_reversed[size_t(reversed[i].symbol)] = i;

  const std::vector<uint32_t> ranks = ranks_of(scores);
  std::vector<TokenMerge> merges;
  std::vector<int32_t> suffixes;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const TokenId token = pieces[i].symbol;
    if (token >= tokens.size() || prefix[i] < 0) continue;
    suffixes.clear();
    for (int32_t s = suffix[place_reversed[size_t(token)]]; s >= 0; s = suffix[size_t(s)]) {
      suffixes.push_back(s);
    }
    for (int32_t p = prefix[i]; p >= 0 && !suffixes.empty(); p = prefix[size_t(p)]) {
      const size_t n_right = pieces[i].text.size() - pieces[size_t(p)].text.size();
      while (!suffixes.empty() && reversed[size_t(suffixes.back())].text.size() < n_right) {
        suffixes.pop_back();
      }
      if (suffixes.empty() || reversed[size_t(suffixes.back())].text.size() != n_right) continue;
      merges.push_back({pieces[size_t(p)].symbol,
                        reversed[size_t(suffixes.back())].symbol,
                        {ranks[size_t(token)], token}});
    }
  }
  table_ = MergeTable(merges.size());
  for (const TokenMerge& m : merges) table_.add(m.left, m.right, m.merge);
}

}  // namespace larder::formats
