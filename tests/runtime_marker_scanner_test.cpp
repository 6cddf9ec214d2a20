// The scanner behind stop strings and thinking.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/session/marker_scanner.h"

using larder::runtime::MarkerScanner;

namespace {

// What a scanner gives for a text in pieces of `n` bytes: text before the first marker, and which.
std::pair<std::string, int> scan(const std::vector<std::string>& markers, const std::string& text,
                                 size_t n) {
  MarkerScanner scanner(markers);
  std::string shown;
  for (size_t at = 0; at < text.size(); at += n) {
    const MarkerScanner::Found found = scanner.push(text.substr(at, n));
    shown += found.before;
    if (found.marker != MarkerScanner::kNone) return {shown, found.marker};
  }
  return {shown + scanner.finish(), MarkerScanner::kNone};
}

}  // namespace

TEST_CASE("marker scanner: the same result however the stream is cut") {
  struct Case {
    std::vector<std::string> markers;
    std::string text, before;
    int marker;
  };
  const std::vector<Case> cases = {
      {{"stop"}, "we stop here", "we ", 0},
      {{"stop"}, "we sto", "we sto", -1},
      {{"stop"}, "ststop", "st", 0},
      {{"aab"}, "aaaaab", "aaa", 0},
      {{"abab"}, "ababab", "", 0},
      {{"bc", "abcd"}, "xabcd", "xa", 0},  // ends first
      {{"c", "abc"}, "abc", "", 1},        // end together: the longest
      {{"", "x"}, "axb", "a", 1},          // the empty one is never found
      {{"\n\nUser:", "\n\n\n"}, "a\n\n\nb", "a", 1},
      {{}, "anything", "anything", -1},
      {{"\xc3\xa9"}, "caf\xc3\xa9!", "caf", 0},
  };
  for (const Case& one : cases) {
    for (size_t n = 1; n <= one.text.size(); ++n) {
      CAPTURE(one.text);
      CAPTURE(n);
      const auto [before, marker] = scan(one.markers, one.text, n);
      CHECK(before == one.before);
      CHECK(marker == one.marker);
    }
  }
}

TEST_CASE("marker scanner: what cannot become a marker is shown at once") {
  MarkerScanner scanner({"<|im_end|>"});
  CHECK(scanner.push("hello <").before == "hello ");
  CHECK(scanner.push("|im").before.empty());
  CHECK(scanner.push(" x").before == "<|im x");
  CHECK(!scanner.is_holding());
}
