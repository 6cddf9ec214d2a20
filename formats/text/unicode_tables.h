// Constant tables behind unicode.h and nfc.h. Layout: a code point's value is
// kX[kXBlock[c / 128] * 128 + c % 128].
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder::formats::unicode_tables {

inline constexpr uint32_t kNCodePoints = 0x110000;
inline constexpr uint32_t kBlock = 128;

// CharClass. Source: Unicode 16.0 general categories.
extern const uint8_t kClassBlock[];
extern const uint8_t kClass[];

// Canonical combining class; 255: class 0, but normalisation may replace it or join it to what
// precedes it; 0: never changes and never joins backwards. Source: Unicode 9.0.
extern const uint8_t kNfcBlock[];
extern const uint8_t kNfc[];

// Full canonical decompositions without Hangul: of kDecomposed[i] (ascending), it is
// kDecomposition[kDecompositionAt[i]] up to kDecompositionAt[i + 1].
extern const size_t kNDecompositions;
extern const uint32_t kDecomposed[];
extern const uint16_t kDecompositionAt[];
extern const uint32_t kDecomposition[];

struct Composition {
  uint32_t first, second, composed;
};
// Ascending by (first, second).
extern const size_t kNCompositions;
extern const Composition kComposition[];

}  // namespace larder::formats::unicode_tables
