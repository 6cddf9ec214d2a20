#include "formats/text/token_table.h"

#include <bit>
#include <cassert>
#include <cstring>

namespace larder::formats {

namespace {

// Odd constants with about half their bits set: the golden ratio and pi as 64-bit fractions.
constexpr uint64_t kGolden = 0x9E3779B97F4A7C15, kPi = 0x243F6A8885A308D3;

uint64_t mixed(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * kGolden;
  return hash ^ (hash >> 29);
}

uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

uint64_t hash_text(std::string_view text) noexcept {
  uint64_t hash = kPi ^ text.size(), word = 0;
  size_t at = 0;
  for (; text.size() - at >= sizeof(word); at += sizeof(word)) {
    std::memcpy(&word, text.data() + at, sizeof(word));
    hash = mixed(hash, word);
  }
  word = 0;
  if (at < text.size()) std::memcpy(&word, text.data() + at, text.size() - at);
  return mixed(mixed(hash, word), kPi);
}

TokenTable::TokenTable(std::span<const std::string_view> texts, std::vector<TokenType> types)
    : types_(std::move(types)) {
  assert(texts.size() == types_.size() && texts.size() < size_t{1} << 31);
  size_t n_bytes = 0;
  for (const std::string_view text : texts) n_bytes += text.size();
  bytes_.reserve(n_bytes);
  begin_.reserve(texts.size() + 1);
  slots_.resize(std::bit_ceil(texts.size() * 2 + 2));
  for (size_t i = 0; i < texts.size(); ++i) {
    bytes_ += texts[i];
    begin_.push_back(bytes_.size());
    if (texts[i].empty()) {
      ++n_hidden_;
      continue;
    }
    Slot& slot = slots_[slot_of(texts[i])];
    if (slot.id == kNoToken) {
      slot = {static_cast<TokenId>(i), tag_of(hash_text(texts[i]))};
    } else {
      ++n_hidden_;
    }
  }
}

size_t TokenTable::slot_of(std::string_view text) const noexcept {
  const uint64_t hash = hash_text(text);
  size_t slot = hash & (slots_.size() - 1);
  while (slots_[slot].id != kNoToken &&
         (slots_[slot].tag != tag_of(hash) || this->text(slots_[slot].id) != text)) {
    slot = (slot + 1) & (slots_.size() - 1);
  }
  return slot;
}

TokenId TokenTable::find(std::string_view text) const noexcept {
  if (slots_.empty() || text.empty()) return kNoToken;
  return slots_[slot_of(text)].id;
}

bool TokenTable::is_markup_like(TokenId id) const noexcept {
  const std::string_view t = text(id);
  return t.size() >= 2 &&
         ((t.front() == '<' && t.back() == '>') || (t.front() == '[' && t.back() == ']'));
}

bool TokenTable::is_mergeable(TokenId id) const noexcept {
  switch (type(id)) {
    case TokenType::normal:
    case TokenType::unused:
      return true;
    case TokenType::user_defined:
      return !is_markup_like(id);
    default:
      return false;
  }
}

}  // namespace larder::formats
