#include "formats/text/pair_merger.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <functional>

namespace larder::formats {

namespace {

// Below this a scan for the lowest rank beats a heap: ordinary words are shorter.
constexpr size_t kFew = 32;

}  // namespace

MergeTable::MergeTable(size_t n_merges)
    : slots_(std::bit_ceil(n_merges * 2 + 2)), mask_(slots_.size() - 1) {}

void MergeTable::add(TokenId left, TokenId right, Merge merge) {
  assert(left >= 0 && right >= 0 && merge.rank < kNoRank);
  const uint64_t pair = key(left, right);
  size_t slot = first_slot(pair);
  while (slots_[slot].pair != kEmpty && slots_[slot].pair != pair) slot = (slot + 1) & mask_;
  if (slots_[slot].pair == kEmpty) slots_[slot] = {pair, merge};
}

void PairMerger::merge(std::vector<TokenId>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kFew) return merge_few(symbols);
  merge_many(symbols);
}

void PairMerger::merge_few(std::vector<TokenId>& symbols) {
  std::array<MergeTable::Merge, kFew> merges;  // of symbol i with symbol i + 1
  size_t n_pairs = symbols.size() - 1;
  for (size_t i = 0; i < n_pairs; ++i) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (n_pairs > 0) {
    size_t best = 0;
    for (size_t i = 1; i < n_pairs; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNoRank) break;
    symbols[best] = merges[best].merged;
    std::copy(symbols.begin() + ptrdiff_t(best) + 2, symbols.begin() + ptrdiff_t(n_pairs) + 1,
              symbols.begin() + ptrdiff_t(best) + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + n_pairs, merges.begin() + best);
    --n_pairs;
    if (best < n_pairs) merges[best] = merges_.find(symbols[best], symbols[best + 1]);
    if (best > 0) merges[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(n_pairs + 1);
}

void PairMerger::find_merge(uint32_t at) {
  Symbol& symbol = linked_[at];
  symbol.merge =
      symbol.next == kNone ? MergeTable::Merge{} : merges_.find(symbol.id, linked_[symbol.next].id);
}

void PairMerger::merge_many(std::vector<TokenId>& symbols) {
  const auto n = static_cast<uint32_t>(symbols.size());
  assert(n < kNone);
  linked_.resize(n);
  heap_.clear();
  const auto candidate = [&](uint32_t at) { return uint64_t{linked_[at].merge.rank} << 32 | at; };
  for (uint32_t i = n; i-- > 0;) {
    linked_[i] = {symbols[i], i == 0 ? kNone : i - 1, i + 1 == n ? kNone : i + 1, {}};
    find_merge(i);
    if (linked_[i].merge.rank != MergeTable::kNoRank) heap_.push_back(candidate(i));
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  const auto offer = [&](uint32_t at) {
    if (at == kNone) return;
    find_merge(at);
    if (linked_[at].merge.rank == MergeTable::kNoRank) return;
    heap_.push_back(candidate(at));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  };
  while (!heap_.empty()) {
    const uint64_t best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    const auto at = static_cast<uint32_t>(best);
    Symbol& left = linked_[at];
    // Swallowed symbols have no rank, changed pairs another one.
    if (left.merge.rank != best >> 32) continue;
    Symbol& right = linked_[left.next];
    left.id = left.merge.merged;
    left.next = right.next;
    right.merge = {};
    if (left.next != kNone) linked_[left.next].previous = at;
    offer(at);
    offer(left.previous);
  }
  size_t n_left = 0;
  for (uint32_t at = 0; at != kNone; at = linked_[at].next) symbols[n_left++] = linked_[at].id;
  symbols.resize(n_left);
}

}  // namespace larder::formats
