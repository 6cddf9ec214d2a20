// Character classes, UTF-8 and NFC.
#include <doctest/doctest.h>

#include <ctime>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "formats/text/nfc.h"
#include "formats/text/unicode.h"

namespace larder::formats {
namespace {

std::string nfc(std::string_view text) {
  std::string scratch;
  return std::string(normalize_nfc(text, scratch));
}

std::string utf8(const std::vector<uint32_t>& code_points) {
  std::string text;
  for (const uint32_t c : code_points) append_utf8(text, c);
  return text;
}

std::vector<uint32_t> hex_numbers(const std::string& field) {
  std::vector<uint32_t> numbers;
  std::stringstream stream(field);
  for (std::string hex; stream >> hex;) {
    numbers.push_back(static_cast<uint32_t>(std::stoul(hex, nullptr, 16)));
  }
  return numbers;
}

// One row of a table in the reference data, by its tabs; empty at its end or without the data.
std::vector<std::string> next_row(std::ifstream& stream) {
  std::vector<std::string> fields;
  std::string line;
  if (!std::getline(stream, line)) return fields;
  std::stringstream rest(line);
  for (std::string field; std::getline(rest, field, '\t');) fields.push_back(field);
  return fields;
}

TEST_CASE("unicode: white space is exactly 25 code points") {
  std::vector<uint32_t> found;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (char_class(c) == CharClass::space) found.push_back(c);
  }
  CHECK(found == std::vector<uint32_t>{0x9,    0xA,    0xB,    0xC,    0xD,    0x20,   0x85,
                                       0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
                                       0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A, 0x2028,
                                       0x2029, 0x202F, 0x205F, 0x3000});
}

TEST_CASE("unicode: every code point has the class of the reference table") {
  std::ifstream stream(LARDER_SHARED_DIR "/tokenizers/unicode_ranges.tsv");
  if (!stream) {
    MESSAGE("no reference data");
    return;
  }
  const std::map<std::string, CharClass> classes = {
      {"space", CharClass::space},    {"N", CharClass::number}, {"M", CharClass::mark},
      {"P", CharClass::punctuation},  {"S", CharClass::symbol}, {"Lu", CharClass::upper},
      {"Ll", CharClass::lower},       {"Lt", CharClass::title}, {"Lm", CharClass::modifier_letter},
      {"Lo", CharClass::other_letter}};
  std::vector<CharClass> expected(0x110000, CharClass::other);
  for (auto row = next_row(stream); row.size() == 3; row = next_row(stream)) {
    const auto found = classes.find(row[0]);
    if (found == classes.end()) continue;
    for (uint32_t c = hex_numbers(row[1])[0]; c <= hex_numbers(row[2])[0]; ++c) {
      expected[c] = found->second;
    }
  }
  size_t n_wrong = 0;
  for (uint32_t c = 0; c < expected.size(); ++c) n_wrong += char_class(c) != expected[c];
  CHECK(n_wrong == 0);
  CHECK(char_class(kMalformedByte + 0x80) == CharClass::other);
}

TEST_CASE("unicode: well-formed UTF-8 round-trips for every code point but surrogates") {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string text = utf8({c});
    const DecodedChar decoded = decode_utf8(text, 0);
    if (decoded.code_point != c || decoded.n_bytes != text.size()) FAIL_CHECK(c);
  }
}

TEST_CASE("unicode: a byte that begins no character stands alone") {
  for (const std::string_view text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\x80", "\xED\xA0\x80",
        "\xE2\x82", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
        "\xF0\x9F\x98"}) {
    const DecodedChar c = decode_utf8(text, 0);
    CHECK(c.n_bytes == 1);
    CHECK(c.code_point == kMalformedByte + static_cast<unsigned char>(text[0]));
    CHECK(utf8({c.code_point}) == text.substr(0, 1));
  }
}

TEST_CASE("unicode: only a character's beginning is held back") {
  const auto complete = [](std::string_view text) { return complete_utf8_prefix(text); };
  CHECK(complete("") == 0);
  CHECK(complete("ab") == 2);
  CHECK(complete("a\xC3") == 1);
  CHECK(complete("a\xC3\xA9") == 3);
  CHECK(complete("\xE2\x82") == 0);
  CHECK(complete("x\xF0\x9F\x98") == 1);
  CHECK(complete("x\xF0\x9F\x98\x80") == 5);
  CHECK(complete("x\xED\xA0") == 3);  // a surrogate's beginning never becomes a character
  CHECK(complete("x\xFF") == 2);
  CHECK(complete("\x80\x80\x80") == 3);
}

TEST_CASE("nfc: marks are put in order and composed") {
  CHECK(nfc("e\u0301") == "\u00e9");
  CHECK(nfc("\u00e9\u0323") == "\u1eb9\u0301");  // the dot below comes first
  CHECK(nfc("q\u0307\u0323") == "q\u0323\u0307");
  CHECK(nfc("a\u0300\u0301") == "\u00e0\u0301");  // the second of equal class stays
  CHECK(nfc("\u212b") == "\u00c5");
  CHECK(nfc("\u0958") == "\u0915\u093c");  // excluded from composition
  CHECK(nfc("\u0301e") == "\u0301e");
  CHECK(nfc("<\u0338") == "\u226e");
}

TEST_CASE("nfc: Hangul is composed by arithmetic") {
  CHECK(nfc("\u1100\u1161") == "\uac00");
  CHECK(nfc("\u1100\u1161\u11a8") == "\uac01");
  CHECK(nfc("\uac00\u11a8") == "\uac01");
  CHECK(nfc("\uac01\u11a8") == "\uac01\u11a8");
  CHECK(nfc("\uac00\u11a7") == "\uac00\u11a7");
  CHECK(nfc("\ud788\u11c2") == "\ud7a3");
}

TEST_CASE("nfc: text that is normalised already is not copied") {
  std::string scratch;
  for (const std::string_view text : {"", "plain", "\u00e9t\u00e9 \u4e2d\uac00", "\xFF\x80 a"}) {
    CHECK(normalize_nfc(text, scratch).data() == text.data());
  }
}

TEST_CASE("nfc: malformed bytes stay and keep their neighbours apart") {
  CHECK(nfc("e\xFF\u0301") == "e\xFF\u0301");
  CHECK(nfc("\xC3"
            "e\u0301\xE2\x82") == "\xC3\u00e9\xE2\x82");
}

TEST_CASE("nfc: every decomposition of the reference table") {
  std::ifstream stream(LARDER_SHARED_DIR "/tokenizers/unicode_nfc.tsv");
  if (!stream) {
    MESSAGE("no reference data");
    return;
  }
  int n_rows = 0;
  for (auto row = next_row(stream); !row.empty(); row = next_row(stream)) {
    if (row[0] != "decomp") continue;
    const std::string whole = utf8(hex_numbers(row[1])), parts = utf8(hex_numbers(row[2]));
    CAPTURE(row[1]);
    if (row[3] == "composes") {
      CHECK(nfc(parts) == whole);
      CHECK(nfc(whole) == whole);
    } else {
      CHECK(nfc(whole) == nfc(parts));
      CHECK(nfc(whole) != whole);
    }
    const auto between = [](const std::string& text) {
      return std::string(".").append(text).append("y");
    };
    CHECK(nfc(between(whole)) == between(nfc(whole)));
    ++n_rows;
  }
  CHECK(n_rows == 2060);
}

TEST_CASE("nfc: normalising twice changes nothing more") {
  std::mt19937 random(7);
  const std::vector<uint32_t> alphabet = {'e',    'q',    0x301,  0x323,  0x338,  0xE9,   0x1100,
                                          0x1161, 0x11A8, 0xAC00, 0x9C7,  0x9BE,  0x958,  0x212B,
                                          0x345,  0x3B1,  0x313,  0x3099, 0x304B, 0x1F82, 0x4E2D};
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint32_t> code_points;
    for (auto n = random() % 12; n > 0; --n) {
      code_points.push_back(alphabet[random() % alphabet.size()]);
    }
    const std::string once = nfc(utf8(code_points));
    REQUIRE(nfc(once) == once);
  }
}

TEST_CASE("nfc: a megabyte of marks in the worst order takes well under a second") {
  std::string text = "e";
  for (uint32_t i = 0; text.size() < (size_t{1} << 20); ++i) {
    append_utf8(text, i % 3 == 0 ? 0x301 : i % 3 == 1 ? 0x323 : 0x327);
  }
  const std::clock_t start = std::clock();
  const std::string normalized = nfc(text);
  CHECK(std::clock() - start < CLOCKS_PER_SEC);
  CHECK(normalized.substr(0, 4) == "\u0229\u0327");  // the class of U+0327 is the lowest
  CHECK(nfc(normalized) == normalized);
}

}  // namespace
}  // namespace larder::formats
