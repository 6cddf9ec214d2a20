// Finds the first of some strings in a stream of text, and holds back what could yet become one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace larder::runtime {

class MarkerScanner {
 public:
  static constexpr int kNone = -1;

  struct Found {
    std::string before;  // text that is certainly outside of every marker
    int marker = kNone;  // which one ended the search, or kNone
  };

  // Empty markers are never found.
  explicit MarkerScanner(std::vector<std::string> markers);

  // Takes more text and searches all that is held. After a marker the rest stays held: go on with
  // push(""). The marker that ends first wins, and of these the longest, so that the result does
  // not depend on how the stream was cut into pieces.
  Found push(std::string_view text);
  // What is held, without looking for markers.
  std::string finish();
  // Whether a whole marker's beginning is held, so that finish() would give text.
  bool is_holding() const noexcept { return !held_.empty(); }

 private:
  size_t held_suffix() const noexcept;

  std::vector<std::string> markers_;
  std::string held_;
};

}  // namespace larder::runtime
