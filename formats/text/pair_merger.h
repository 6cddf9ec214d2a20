// Merging by rank, the heart of both BPE kinds: of all adjacent pairs that may merge, the one with
// the lowest rank goes first, and of those the leftmost.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/text/tokenizer.h"

namespace larder::formats {

// Which pairs of symbols merge into what. Immutable once filled.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = UINT32_MAX;
  struct Merge {
    uint32_t rank = kNoRank;
    TokenId merged = kNoToken;
  };

  // Room for `n_merges` calls of add().
  explicit MergeTable(size_t n_merges);
  // The first of equal pairs counts. REQUIRES: left, right >= 0; rank < kNoRank.
  void add(TokenId left, TokenId right, Merge merge);
  Merge find(TokenId left, TokenId right) const noexcept {
    const uint64_t pair = key(left, right);
    for (size_t slot = first_slot(pair);; slot = (slot + 1) & mask_) {
      if (slots_[slot].pair == pair) return slots_[slot].merge;
      if (slots_[slot].pair == kEmpty) return {};
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge;
  };
  static uint64_t key(TokenId left, TokenId right) noexcept {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t first_slot(uint64_t pair) const noexcept {
    const uint64_t product = pair * 0x9E3779B97F4A7C15;  // the golden ratio as a 64-bit fraction
    return (product ^ (product >> 32)) & mask_;
  }

  std::vector<Slot> slots_;  // open addressing, at most half full
  size_t mask_;
};

// Working memory for merging; one a call or thread.
class PairMerger {
 public:
  explicit PairMerger(const MergeTable& merges) : merges_(merges) {}
  // Replaces `symbols` by what is left when no pair merges any more. n symbols cost O(n log n).
  // REQUIRES: fewer than 2^32 - 1 symbols.
  void merge(std::vector<TokenId>& symbols);

 private:
  struct Symbol {
    TokenId id;
    uint32_t previous, next;  // kNone at the ends
    MergeTable::Merge merge;  // with the next symbol
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  void merge_few(std::vector<TokenId>& symbols);
  void merge_many(std::vector<TokenId>& symbols);
  void find_merge(uint32_t at);

  const MergeTable& merges_;
  std::vector<Symbol> linked_;
  std::vector<uint64_t> heap_;  // rank << 32 | position; entries outlive the pairs they were for
};

}  // namespace larder::formats
