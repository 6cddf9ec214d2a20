// Remembers, within one encode call, which ids a short piece of text became.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "formats/text/tokenizer.h"

namespace larder::formats {

class PieceCache {
 public:
  static constexpr size_t kMaxBytes = 24;

  // Costs memory in proportion to the text, up to 0.5 MiB.
  explicit PieceCache(size_t text_bytes)
      : entries_(std::bit_ceil(std::clamp<size_t>(text_bytes / 8, 16, 16384))) {}

  // Appends what the piece became before; false if that is not known.
  bool append_known(std::string_view piece, std::vector<TokenId>& ids) {
    if (piece.size() > kMaxBytes) return false;
    key_ = key_of(piece);
    entry_ = &entries_[key_.hash() & (entries_.size() - 1)];
    if (!(entry_->key == key_)) return false;
    const size_t n_before = ids.size();
    ids.resize(n_before + entry_->n_ids);
    std::copy_n(ids.begin() + entry_->first_id, entry_->n_ids,
                ids.begin() + static_cast<ptrdiff_t>(n_before));
    return true;
  }
  // ids[first_id...] is what the piece asked for last became. The entries point into `ids`, which
  // may only grow.
  void remember(std::string_view piece, const std::vector<TokenId>& ids, size_t first_id) {
    if (piece.size() > kMaxBytes || first_id > UINT32_MAX) return;
    *entry_ = {key_, static_cast<uint32_t>(first_id), static_cast<uint32_t>(ids.size() - first_id)};
  }

 private:
  struct Key {
    uint64_t words[3] = {};  // the piece, then zeros; the length rules out pieces that end in zeros
    uint64_t n_bytes = 0;    // 0: an empty entry
    bool operator==(const Key&) const = default;
    uint64_t hash() const {
      uint64_t hash = n_bytes;
      for (const uint64_t word : words) {
        hash = (hash ^ word) * 0x9E3779B97F4A7C15;  // the golden ratio as a 64-bit fraction
        hash ^= hash >> 32;
      }
      return hash;
    }
  };
  struct Entry {
    Key key;
    uint32_t first_id = 0, n_ids = 0;
  };

  static Key key_of(std::string_view piece) {
    Key key;
    key.n_bytes = piece.size();
    std::memcpy(key.words, piece.data(), piece.size());
    return key;
  }

  std::vector<Entry> entries_;
  Key key_;
  Entry* entry_ = nullptr;
};

}  // namespace larder::formats
