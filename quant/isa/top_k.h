// The largest of many scores, in an order that leaves nothing open: descending, ties to the lower
// index, NaN below all.
#pragma once

#include <cstdint>

#include "quant/isa/lanes.h"

namespace larder::quant {

// Integers ordered as the scores are: -0 and +0 are equal, every NaN is the smallest.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Ints order_keys(typename Isa::Floats scores) {
  using Ints = typename Isa::Ints;
  const auto bits = bits_of(scores + Isa::Floats::zero());  // -0 + 0 is +0
  const auto keys = bits ^ (shift_right_signed<31>(bits) & Ints::broadcast(0x7fffffff));
  return select(is_nan(scores), Ints::broadcast(INT32_MIN), keys);
}

template <class Isa>
[[gnu::always_inline]] inline int32_t order_key(float score) {
  if (score != score) return INT32_MIN;
  const auto bits = __builtin_bit_cast(int32_t, score + 0.0f);
  return bits ^ (bits >> 31 & 0x7fffffff);
}

// Calls insert(index) in ascending order for every score after `begin` whose key is above
// bound(); bound() may rise at each call. Almost all lanes fail one comparison.
template <class Isa, class Bound, class Insert>
[[gnu::always_inline]] inline void visit_above(const float* scores, int32_t begin, int32_t n,
                                               Bound bound, Insert insert) {
  using Ints = typename Isa::Ints;
  for (int32_t i = begin; i < n; i += kLanes) {
    const int32_t left = n - i;
    const auto row =
        left >= kLanes ? load_lanes<Isa>(scores + i) : load_lanes<Isa>(scores + i, left);
    uint32_t above = lane_bits(less(Ints::broadcast(bound()), order_keys<Isa>(row)));
    if (left < kLanes) above &= (1u << left) - 1;
    for (; above != 0; above &= above - 1) {
      const int32_t index = i + __builtin_ctz(above);
      if (order_key<Isa>(scores[index]) > bound()) insert(index);
    }
  }
}

// The candidates kept in descending order; a new one walks up from the end.
template <class Isa>
[[gnu::always_inline]] inline void insert_sorted(const float* scores, int32_t* kept, int32_t n_kept,
                                                 int32_t index) {
  const int32_t key = order_key<Isa>(scores[index]);
  int32_t at = n_kept;
  for (; at > 0 && order_key<Isa>(scores[kept[at - 1]]) < key; --at) kept[at] = kept[at - 1];
  kept[at] = index;
}

template <class Isa>
[[gnu::always_inline]] inline bool ranks_below(const float* scores, int32_t a, int32_t b) {
  const int32_t key_a = order_key<Isa>(scores[a]), key_b = order_key<Isa>(scores[b]);
  return key_a != key_b ? key_a < key_b : a > b;
}

// Restores the heap of heap[0..n) below `at`; the lowest rank is at the root.
template <class Isa>
void sift_down(const float* scores, int32_t* heap, int32_t n, int32_t at) noexcept {
  const int32_t index = heap[at];
  for (int32_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && ranks_below<Isa>(scores, heap[child + 1], heap[child])) ++child;
    if (!ranks_below<Isa>(scores, heap[child], index)) break;
    heap[at] = heap[child];
  }
  heap[at] = index;
}

// n log k at worst, where a sorted list would take n k.
template <class Isa>
void top_k_by_heap(const float* scores, int32_t n, int32_t k, int32_t* indices) noexcept {
  for (int32_t i = 0; i < k; ++i) indices[i] = i;
  for (int32_t i = k / 2 - 1; i >= 0; --i) sift_down<Isa>(scores, indices, k, i);
  visit_above<Isa>(
      scores, k, n, [=] { return order_key<Isa>(scores[indices[0]]); },
      [=](int32_t index) {
        indices[0] = index;
        sift_down<Isa>(scores, indices, k, 0);
      });
  for (int32_t last = k - 1; last > 0; --last) {
    const int32_t lowest = indices[0];
    indices[0] = indices[last];
    sift_down<Isa>(scores, indices, last, 0);
    indices[last] = lowest;
  }
}

template <class Isa>
void top_k(const float* scores, int32_t n, int32_t k, int32_t* indices) noexcept {
  constexpr int32_t kLongestList = 48;  // above, the heap is faster even on random scores
  if (k > kLongestList) return top_k_by_heap<Isa>(scores, n, k, indices);
  for (int32_t i = 0; i < k; ++i) insert_sorted<Isa>(scores, indices, i, i);
  visit_above<Isa>(
      scores, k, n, [=] { return order_key<Isa>(scores[indices[k - 1]]); },
      [=](int32_t index) { insert_sorted<Isa>(scores, indices, k - 1, index); });
}

template <class Isa>
int32_t argmax(const float* x, int64_t n) noexcept {
  int32_t best = 0;
  visit_above<Isa>(
      x, 1, static_cast<int32_t>(n), [&] { return order_key<Isa>(x[best]); },
      [&](int32_t index) { best = index; });
  return best;
}

}  // namespace larder::quant
