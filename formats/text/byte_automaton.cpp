#include "formats/text/byte_automaton.h"

#include <algorithm>
#include <numeric>

namespace larder::formats {

namespace {

// The sorted patterns that begin with a state's text.
struct PatternRange {
  uint32_t begin, end;
};

}  // namespace

ByteAutomaton::ByteAutomaton(std::span<const std::string_view> patterns) {
  std::vector<uint32_t> order(patterns.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int c = patterns[a].compare(patterns[b]);
    return c != 0 ? c < 0 : a < b;
  });

  const auto add_state = [&](unsigned char label, State fail) {
    label_.push_back(label);
    fail_.push_back(fail);
    pattern_.push_back(-1);
    match_.push_back(kRoot);
  };
  add_state(0, kRoot);
  std::vector<PatternRange> level = {{0, static_cast<uint32_t>(order.size())}}, next_level;
  State state = kRoot;
  for (size_t depth = 0; !level.empty(); ++depth, level.swap(next_level)) {
    next_level.clear();
    for (PatternRange range : level) {
      first_child_.push_back(static_cast<State>(label_.size()));
      if (range.begin < range.end && patterns[order[range.begin]].size() == depth) {
        pattern_[state] = static_cast<int32_t>(order[range.begin]);
        while (range.begin < range.end && patterns[order[range.begin]].size() == depth) {
          ++range.begin;
        }
      }
      match_[state] = pattern_[state] >= 0 ? state : match_[fail_[state]];
      while (range.begin < range.end) {
        const char byte = patterns[order[range.begin]][depth];
        const uint32_t begin = range.begin;
        while (range.begin < range.end && patterns[order[range.begin]][depth] == byte) {
          ++range.begin;
        }
        const auto label = static_cast<unsigned char>(byte);
        const State fail = state == kRoot ? kRoot : step(fail_[state], label);
        if (state == kRoot) root_child_[label] = static_cast<State>(label_.size());
        add_state(label, fail);
        next_level.push_back({begin, range.begin});
      }
      ++state;
    }
  }
  first_child_.push_back(static_cast<State>(label_.size()));
}

}  // namespace larder::formats
