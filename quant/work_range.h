// Items of a phase of a team, a stretch of them for each thread. A thread walks through its own in
// order, so that what a kernel asks memory for ahead is what the thread comes to; one that is
// through takes half of what another has left.
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>

namespace larder::quant {

// Items [first, end).
struct ItemRange {
  int64_t first = 0, end = 0;
  int64_t n() const noexcept { return end - first; }
};

// What is left of one thread's stretch. Phases follow each other with a barrier in between, and in
// each of them the owner takes at least once, so a word of the phase before is known by its number:
// the stretch of this one is then still whole, and nobody need have set it.
class alignas(64) WorkRange {
 public:
  static constexpr int64_t kMaxItems = (int64_t{1} << 28) - 1;

  void forget() noexcept { word_.store(0, std::memory_order_relaxed); }

  // The owner: some items from the first one on, at most `most`, and a quarter of what is left, so
  // that threads end together; empty if none is left. `whole` is the stretch that the phase began
  // with, asked for where nobody has taken of it; `end` becomes the end of what is left.
  template <class Whole>
  ItemRange take_first(uint32_t phase, Whole&& whole, int64_t most, int64_t& end) noexcept {
    ItemRange kept;
    const ItemRange left = take(phase, whole, [&](ItemRange range) {
      const int64_t n = std::clamp<int64_t>(range.n() / 4, 1, most);
      return kept = {range.first + n, range.end};
    });
    end = left.end;
    return {left.first, left.n() > 0 ? kept.first : left.first};
  }
  // Others: the second half of what is left, the larger one; empty if nothing is.
  template <class Whole>
  ItemRange take_half(uint32_t phase, Whole&& whole) noexcept {
    ItemRange kept;
    const ItemRange left = take(phase, whole, [&](ItemRange range) {
      return kept = {range.first, range.first + range.n() / 2};
    });
    return {left.n() > 0 ? kept.end : left.end, left.end};
  }
  // The owner, of a stretch that is used up: what it took from another.
  void set(uint32_t phase, ItemRange range) noexcept {
    word_.store(word_of(phase, range), std::memory_order_relaxed);
  }
  template <class Whole>
  int64_t n_left(uint32_t phase, Whole&& whole) const noexcept {
    return range_of(word_.load(std::memory_order_relaxed), phase, whole).n();
  }

 private:
  // Phase, end, first: 8, 28 and 28 bits.
  static uint64_t word_of(uint32_t phase, ItemRange range) noexcept {
    assert(range.end <= kMaxItems);
    return uint64_t{phase & 255} << 56 | static_cast<uint64_t>(range.end) << 28 |
           static_cast<uint64_t>(range.first);
  }
  template <class Whole>
  static ItemRange range_of(uint64_t word, uint32_t phase, Whole&& whole) noexcept {
    if (word >> 56 != (phase & 255)) return whole();
    return {static_cast<int64_t>(word & kMaxItems), static_cast<int64_t>(word >> 28 & kMaxItems)};
  }

  // Leaves what keep(left) says; returns what there was.
  template <class Whole, class Keep>
  ItemRange take(uint32_t phase, Whole&& whole, Keep keep) noexcept {
    uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
      const ItemRange left = range_of(word, phase, whole);
      const ItemRange kept = left.n() > 0 ? keep(left) : left;
      // Also where nothing is left, so that the word is of this phase.
      if (word_.compare_exchange_weak(word, word_of(phase, kept), std::memory_order_relaxed)) {
        return left;
      }
    }
  }

  std::atomic<uint64_t> word_{0};
};

}  // namespace larder::quant
