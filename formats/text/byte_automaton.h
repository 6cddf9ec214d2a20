// Finds, at every byte of a text, the longest of many patterns that ends there (Aho-Corasick).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace larder::formats {

// Tokens longer than this are not worth a state for each of their bytes: no text is ever matched to
// them. Ours; the longest published ones have some hundred bytes.
inline constexpr size_t kMaxPatternBytes = size_t{1} << 16;

// Building is linear in the patterns' bytes plus a sort; a walk is linear in the text. About 17
// bytes for each state; states are the distinct prefixes of the patterns.
class ByteAutomaton {
 public:
  using State = uint32_t;
  static constexpr State kRoot = 0;

  // Patterns are named by their index; of equal ones the lowest counts. REQUIRES: none is empty;
  // fewer than 2^31 bytes in all.
  explicit ByteAutomaton(std::span<const std::string_view> patterns);

  State step(State state, unsigned char byte) const noexcept {
    for (; state != kRoot; state = fail_[state]) {
      if (const State next = child(state, byte); next != kRoot) return next;
    }
    return root_child_[byte];
  }

  size_t n_states() const noexcept { return label_.size(); }
  int32_t pattern(State state) const noexcept { return pattern_[state]; }  // of it whole, or -1
  // The longest proper suffix of a state's text that is a state; always a lower number.
  State fail(State state) const noexcept { return fail_[state]; }
  // The longest suffix of a state's text, itself included, that is a pattern; kRoot if none.
  State longest_match(State state) const noexcept { return match_[state]; }

 private:
  State child(State state, unsigned char byte) const noexcept {
    State low = first_child_[state];
    const State end = first_child_[state + 1];
    // Labels ascend. Most states have one or two children; halving only pays with many.
    for (State n = end - low; n > 8;) {
      const State half = n / 2;
      if (label_[low + half] <= byte) low += half;
      n -= half;
    }
    for (; low < end && label_[low] <= byte; ++low) {
      if (label_[low] == byte) return low;
    }
    return kRoot;
  }

  std::array<State, 256> root_child_ = {};
  // Breadth first, so that the children of a state are neighbours.
  std::vector<unsigned char> label_;
  std::vector<State> first_child_, fail_, match_;
  std::vector<int32_t> pattern_;
};

}  // namespace larder::formats
