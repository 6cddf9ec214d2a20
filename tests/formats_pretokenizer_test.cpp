// Pre-tokenizer scanners against a regular-expression engine's answers, and their cost.
#include <doctest/doctest.h>

#include <ctime>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "formats/text/pretokenizer.h"
#include "formats/text/unicode.h"

namespace larder::formats {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces_of(const char* rule_name, std::string_view text) {
  const PretokenizerRule* const rule = find_pretokenizer_rule(rule_name);
  REQUIRE_MESSAGE(rule != nullptr, rule_name);
  Pieces pieces;
  for (PieceCursor cursor(*rule, text); !cursor.at_end();) pieces.emplace_back(cursor.next());
  return pieces;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST_CASE("pretokenizer: the scanners split as the published regular expressions do") {
  std::ifstream stream(LARDER_TEST_DATA_DIR "/pretokenizer_pieces.tsv");
  std::map<std::string, int> n_texts;
  std::string name, hex, lengths;
  while (stream >> name >> hex >> lengths) {
    const std::string text = from_hex(hex);
    Pieces expected;
    size_t at = 0;
    std::stringstream numbers(lengths);
    for (std::string length; std::getline(numbers, length, ',');) {
      expected.push_back(text.substr(at, std::stoul(length)));
      at += std::stoul(length);
    }
    CAPTURE(name);
    CAPTURE(hex);
    CHECK(pieces_of(name.c_str(), text) == expected);
    ++n_texts[name];
  }
  CHECK(n_texts.size() == 9);
  for (const auto& [rule, n] : n_texts) CHECK(n == 150);
}

TEST_CASE("pretokenizer: names that share a definition split alike") {
  const std::string text = "I'M here: 12345\n\n  \u00c9t\u00e9 'll  \u0301x/\n";
  for (const char* const name : {"llama3", "llama-v3", "lfm2", "glm4", "chatglm-bpe", "dbrx"}) {
    CHECK(pieces_of(name, text) == pieces_of("llama-bpe", text));
  }
  CHECK(pieces_of("hunyuan", text) == pieces_of("qwen2", text));
  CHECK(pieces_of("bailingmoe", text) == pieces_of("bailingmoe2", text));
  for (const char* const name : {"llama4", "minimax-m2"}) {
    CHECK(pieces_of(name, text) == pieces_of("gpt-4o", text));
  }
  CHECK(pieces_of("olmo", text) == pieces_of("gpt-2", text));
  CHECK(pieces_of("refact", text) == pieces_of("starcoder", text));
}

TEST_CASE("pretokenizer: an unknown name is no rule") {
  for (const char* const name : {"nosuch", "", "default", "qwen", "qwen2 ", "QWEN2"}) {
    CHECK(find_pretokenizer_rule(name) == nullptr);
  }
}

TEST_CASE("pretokenizer: a cased run goes back to its last caseless character") {
  CHECK(pieces_of("gpt-4o", "iPhone") == Pieces{"i", "Phone"});
  CHECK(pieces_of("gpt-4o", "\u4e2dA") == Pieces{"\u4e2d", "A"});
  CHECK(pieces_of("gpt-4o", "ABCdef") == Pieces{"ABCdef"});
  CHECK(pieces_of("gpt-4o", "\u0301A") == Pieces{"\u0301", "A"});
  CHECK(pieces_of("gpt-4o", "don't/\n/") == Pieces{"don't", "/\n/"});
}

TEST_CASE("pretokenizer: malformed bytes are characters of no class") {
  CHECK(pieces_of("qwen2", "a\xFF\xC3z") == Pieces{"a", "\xFF\xC3", "z"});
  CHECK(pieces_of("qwen2", "\xC3z") == Pieces{"\xC3z"});
  CHECK(pieces_of("deepseek-v3", "a\x80\x81") == Pieces{"a", "\x80\x81"});
}

TEST_CASE("pretokenizer: pieces cover any bytes without gaps") {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (auto n = random() % 60; n > 0; --n) {
      if (random() % 3 == 0) {
        text.push_back(static_cast<char>(random()));
      } else {
        append_utf8(text, random() % 4 == 0 ? 0x300 + random() % 0x3000 : random() % 0x80);
      }
    }
    for (const PretokenizerRule& rule : pretokenizer_rules()) {
      std::string joined;
      for (PieceCursor cursor(rule, text); !cursor.at_end();) {
        const std::string_view piece = cursor.next();
        REQUIRE(!piece.empty());
        joined += piece;
      }
      CHECK(joined == text);
    }
  }
}

TEST_CASE("pretokenizer: a megabyte of anything takes every rule well under a second") {
  const size_t n_bytes = size_t{1} << 20;
  const auto repeated = [&](std::string_view unit) {
    std::string text;
    while (text.size() < n_bytes) text += unit;
    return text;
  };
  for (const char* const unit :
       {"A", "a", " ", "\n", "7", "\u0301", "'", "\u4e2d", "Aa", " \t", " a", "\n ", "\u0301A",
        "A\u0301", "\x80", "'s", "/\n", "\u3000", "\u4e2dA"}) {
    const std::string text = repeated(unit);
    for (const PretokenizerRule& rule : pretokenizer_rules()) {
      CAPTURE(rule.name);
      CAPTURE(unit);
      const std::clock_t start = std::clock();
      size_t n_covered = 0;
      for (PieceCursor cursor(rule, text); !cursor.at_end();) n_covered += cursor.next().size();
      CHECK(n_covered == text.size());
      CHECK(std::clock() - start < CLOCKS_PER_SEC);
    }
  }
}

}  // namespace
}  // namespace larder::formats
