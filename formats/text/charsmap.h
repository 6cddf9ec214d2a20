// SentencePiece's compiled normalisation map: the longest known spelling at the front of a text is
// replaced by another.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/status.h"

namespace larder::formats {

class Charsmap {
 public:
  // Known spellings longer than this are not found: a map of a stranger may hold endless ones.
  static constexpr size_t kMaxKeyBytes = 64;

  Charsmap() = default;  // replaces nothing
  // Layout: u32 byte size of a double array of u32 units, the array, NUL-terminated replacements.
  // Error: `vocabulary`.
  static Result<Charsmap> parse(std::string_view blob);

  struct Replacement {
    std::string_view text;
    size_t n_bytes;  // of the text that it stands for
  };
  // A malformed byte becomes U+FFFD. REQUIRES: !text.empty(). Never looks outside its tables,
  // whatever they hold; the view lives as long as the map and `text`.
  Replacement replace_front(std::string_view text) const noexcept;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;  // ends with NUL
};

}  // namespace larder::formats
