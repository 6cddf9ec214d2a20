#include "runtime/session/marker_scanner.h"

#include <algorithm>
#include <utility>

namespace larder::runtime {

MarkerScanner::MarkerScanner(std::vector<std::string> markers) : markers_(std::move(markers)) {}

MarkerScanner::Found MarkerScanner::push(std::string_view text) {
  held_ += text;
  Found found;
  size_t begin = 0, end = std::string::npos;
  for (size_t i = 0; i < markers_.size(); ++i) {
    if (markers_[i].empty()) continue;
    const size_t at = held_.find(markers_[i]);
    if (at == std::string::npos) continue;
    const size_t marker_end = at + markers_[i].size();
    if (marker_end > end || (marker_end == end && at >= begin)) continue;
    begin = at;
    end = marker_end;
    found.marker = static_cast<int>(i);
  }
  if (found.marker == kNone) begin = end = held_.size() - held_suffix();
  found.before = held_.substr(0, begin);
  held_.erase(0, end);
  return found;
}

// Length of the longest end of what is held that begins a marker.
size_t MarkerScanner::held_suffix() const noexcept {
  size_t longest = 0;
  const std::string_view held = held_;
  for (const std::string& marker : markers_) {
    for (size_t n = std::min(held.size(), marker.empty() ? 0 : marker.size() - 1); n > longest;
         --n) {
      if (held.ends_with(std::string_view(marker).substr(0, n))) {
        longest = n;
        break;
      }
    }
  }
  return longest;
}

std::string MarkerScanner::finish() { return std::exchange(held_, {}); }

}  // namespace larder::runtime
