// Normalisation form C (Unicode 9.0, the version of the tokenizers' own libraries).
#pragma once

#include <string>
#include <string_view>

namespace larder::formats {

// `text` itself when it is normalised already; else a view of `scratch`, which is overwritten.
// Malformed bytes stay and normalise with nothing. O(n log n) for every input.
std::string_view normalize_nfc(std::string_view text, std::string& scratch);

}  // namespace larder::formats
