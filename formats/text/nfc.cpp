#include "formats/text/nfc.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "formats/text/unicode.h"

namespace larder::formats {

namespace {

using namespace unicode_tables;

// Hangul syllables are arithmetic. Source: Unicode 9.0, section 3.12.
constexpr uint32_t kSyllable = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTail = 0x11A7;
constexpr uint32_t kNLeads = 19, kNVowels = 21, kNTails = 28;

constexpr uint8_t kStarterThatChanges = 255;
// Below U+0300 nothing combines and every character is its own normal form.
constexpr unsigned char kFirstLeadByteThatMatters = 0xCC;

uint8_t nfc_class(uint32_t c) {
  return c < kNCodePoints ? kNfc[kNfcBlock[c / kBlock] * kBlock + c % kBlock] : 0;
}

struct CombiningChar {
  uint32_t code_point;
  uint8_t combining_class;
};

CombiningChar with_class(uint32_t c) {
  const uint8_t value = nfc_class(c);
  return {c, value == kStarterThatChanges ? uint8_t{0} : value};
}

void decompose(uint32_t c, std::vector<CombiningChar>& out) {
  if (c >= kSyllable && c < kSyllable + kNLeads * kNVowels * kNTails) {
    const uint32_t index = c - kSyllable;
    out.push_back({kLead + index / (kNVowels * kNTails), 0});
    out.push_back({kVowel + index / kNTails % kNVowels, 0});
    if (index % kNTails != 0) out.push_back({kTail + index % kNTails, 0});
    return;
  }
  const uint32_t* const end = kDecomposed + kNDecompositions;
  const uint32_t* const found = std::lower_bound(kDecomposed, end, c);
  if (found == end || *found != c) return out.push_back(with_class(c));
  const size_t row = static_cast<size_t>(found - kDecomposed);
  for (size_t i = kDecompositionAt[row]; i < kDecompositionAt[row + 1]; ++i) {
    out.push_back(with_class(kDecomposition[i]));
  }
}

// Sorts each run of marks by combining class, stably.
void order_canonically(std::vector<CombiningChar>& chars) {
  const auto is_starter = [](const CombiningChar& c) { return c.combining_class == 0; };
  const auto by_class = [](const CombiningChar& a, const CombiningChar& b) {
    return a.combining_class < b.combining_class;
  };
  for (auto at = chars.begin(); at != chars.end();) {
    const auto marks = std::find_if_not(at, chars.end(), is_starter);
    at = std::find_if(marks, chars.end(), is_starter);
    if (!std::is_sorted(marks, at, by_class)) std::stable_sort(marks, at, by_class);
  }
}

// 0 if the two do not compose.
uint32_t composed(uint32_t first, uint32_t second) {
  if (first - kLead < kNLeads && second - kVowel < kNVowels) {
    return kSyllable + ((first - kLead) * kNVowels + (second - kVowel)) * kNTails;
  }
  const uint32_t index = first - kSyllable;
  if (index < kNLeads * kNVowels * kNTails && index % kNTails == 0 &&
      second - kTail - 1 < kNTails - 1) {
    return first + (second - kTail);
  }
  const Composition* const end = kComposition + kNCompositions;
  const Composition* const found =
      std::lower_bound(kComposition, end, Composition{first, second, 0},
                       [](const Composition& a, const Composition& b) {
                         return a.first != b.first ? a.first < b.first : a.second < b.second;
                       });
  return found != end && found->first == first && found->second == second ? found->composed : 0;
}

// In place; a character composes with the last starter unless one between them blocks it.
void compose(std::vector<CombiningChar>& chars) {
  size_t n_kept = 0, starter = chars.size();
  for (const CombiningChar c : chars) {
    if (starter < n_kept) {
      const bool adjacent = starter + 1 == n_kept;
      const bool is_blocked = !adjacent && chars[n_kept - 1].combining_class >= c.combining_class;
      const uint32_t joined = is_blocked ? 0 : composed(chars[starter].code_point, c.code_point);
      if (joined != 0) {
        chars[starter].code_point = joined;
        continue;
      }
    }
    if (c.combining_class == 0) starter = n_kept;
    chars[n_kept++] = c;
  }
  chars.resize(n_kept);
}

}  // namespace

std::string_view normalize_nfc(std::string_view text, std::string& scratch) {
  scratch.clear();
  std::vector<CombiningChar> chars;
  size_t copied = 0;    // text[0, copied) is in scratch
  size_t boundary = 0;  // start of the last character that nothing before it can change
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < kFirstLeadByteThatMatters) {
      // Continuation bytes are stepped over with their lead, so this is a character or malformed.
      boundary = at;
      at += decode_utf8(text, at).n_bytes;
      continue;
    }
    DecodedChar c = decode_utf8(text, at);
    if (nfc_class(c.code_point) == 0) {
      boundary = at;
      at += c.n_bytes;
      continue;
    }
    scratch.append(text, copied, boundary - copied);
    chars.clear();
    for (at = boundary; at < text.size(); at += c.n_bytes) {
      c = decode_utf8(text, at);
      if (at != boundary && nfc_class(c.code_point) == 0) break;
      decompose(c.code_point, chars);
    }
    order_canonically(chars);
    compose(chars);
    for (const CombiningChar& kept : chars) append_utf8(scratch, kept.code_point);
    copied = boundary = at;
  }
  if (copied == 0) return text;
  scratch.append(text, copied, text.size() - copied);
  return scratch;
}

}  // namespace larder::formats
