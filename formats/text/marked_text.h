// Text that remembers which of its bytes came from people, so that they never become special
// tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace larder::formats {

struct ByteRange {
  size_t begin = 0, end = 0;  // half open
  bool operator==(const ByteRange&) const = default;
};

// `inputs`: disjoint, ascending, non-empty ranges of `text` that are somebody's words. The rest is
// the template's own text, in which control tokens may be recognised.
struct MarkedText {
  std::string text;
  std::vector<ByteRange> inputs;
};

}  // namespace larder::formats
