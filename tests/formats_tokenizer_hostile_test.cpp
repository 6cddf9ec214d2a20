// Hostile texts and texts in pieces: always a defined result, and always soon. Numbers V19 to V30
// are the catalogue's.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "formats/text/tokenizer.h"
#include "tests/tokenizer_checks.h"

namespace larder::formats {
namespace {

using namespace tests;

TEST_CASE("tokenizer catalogue V19: of overlapping added tokens the leftmost, then the longest") {
  auto vocabulary = byte_level();
  const TokenId ab = vocabulary.add("<ab", kUserDefined),
                abc = vocabulary.add("<abc>", kUserDefined),
                bcd = vocabulary.add("bc>d", kUserDefined),
                tail = vocabulary.add("c>", kUserDefined);
  const auto tokenizer = created(vocabulary.file());
  CHECK(encoded(*tokenizer, "<abc>d") == Ids{abc, 'd'});
  CHECK(encoded(*tokenizer, "<abcx") == Ids{ab, 'c', 'x'});
  CHECK(encoded(*tokenizer, "abc>d") == Ids{'a', bcd});
  CHECK(encoded(*tokenizer, "<abc<abc>") == Ids{ab, 'c', abc});
  CHECK(encoded(*tokenizer, "xc>c>") == Ids{'x', tail, tail});
}

TEST_CASE("tokenizer catalogue V20: a megabyte of one character takes under a second") {
  std::string marks;
  while (marks.size() < (size_t{1} << 20)) marks += "\u0301";
  std::vector<std::string> texts = {marks};
  for (const char c : {'A', ' ', '\n', '7', 'h'}) texts.emplace_back(size_t{1} << 20, c);
  for (const auto& vocabulary :
       {byte_level("qwen2"), byte_level("gpt-4o"), byte_level("deepseek-v3"),
        byte_level("deepseek-llm"), byte_level("gpt-2"), sentencepiece(), unigram()}) {
    const auto tokenizer = created(vocabulary.file());
    CAPTURE(vocabulary.pre);
    for (const std::string& text : texts) {
      CAPTURE(text[0]);
      CHECK(seconds([&] { encoded(*tokenizer, text); }) < 1.0);
    }
  }
}

TEST_CASE("tokenizer catalogue V21: malformed UTF-8 is kept as bytes, by unigram as U+FFFD") {
  std::mt19937 random(21);
  std::string noise;
  for (int i = 0; i < 1000000; ++i) noise.push_back(static_cast<char>(random()));
  const std::vector<std::string> texts = {"\xED\xA0\x80", "\xC0\x80", "\xF5\xFF",
                                          "h\xE2\x82",    "\x80h",    noise};
  for (const auto& vocabulary : {byte_level(), byte_level("deepseek-v3"), sentencepiece()}) {
    const auto tokenizer = created(vocabulary.file());
    for (const std::string& text : texts) {
      const auto decoded = tokenizer->decode(encoded(*tokenizer, text));
      REQUIRE(decoded.ok());
      CHECK((*decoded == text));
    }
  }
  auto vocabulary = unigram();
  const TokenId replacement = vocabulary.add("\uFFFD", kNormal, -1);
  const auto tokenizer = created(vocabulary.file());
  CHECK(encoded(*tokenizer, "h\xFFh") ==
        Ids{tokenizer->find("\u2581"), tokenizer->find("h"), replacement, tokenizer->find("h")});
  CHECK(seconds([&] { encoded(*tokenizer, noise); }) < 1.0);
}

TEST_CASE("tokenizer catalogue V22: NUL is a character like others") {
  const std::string text("h\0e\0\0", 5);
  CHECK(encoded(*created(byte_level().file()), text) == Ids{'h', 0, 'e', 0, 0});
  const auto spm = created(sentencepiece().file());
  CHECK(spm->decode(encoded(*spm, text)).value() == text);
}

TEST_CASE("tokenizer catalogue V23: control tokens in plain text stay text") {
  for (auto vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    const TokenId end = vocabulary.add("<|im_end|>", kControl, 100);
    // Merges that would spell the control token out of ordinary letters do not count either.
    if (vocabulary.model == "gpt2") {
      vocabulary.add("<|im_end|");
      vocabulary.merges.push_back("<|im_end| >");
    } else {
      vocabulary.add("<|im_end|", kNormal, 99);
      vocabulary.add(">", kNormal, 1);
    }
    const auto tokenizer = created(vocabulary.file());
    const std::string text = "he<|im_end|>AA";
    Ids ids = encoded(*tokenizer, text);
    CHECK(std::find(ids.begin(), ids.end(), end) == ids.end());
    ids = encoded(*tokenizer, text, SpecialTokens::recognised);
    CHECK(std::count(ids.begin(), ids.end(), end) == 1);
    CHECK(tokenizer->is_end_of_generation(end));
  }
}

TEST_CASE("tokenizer: bytes never become a user-defined token that looks like their spelling") {
  auto vocabulary = byte_level("llama-bpe");
  const std::string text = "\xDF\xDF", spelling = spelled_bytes(text);
  const TokenId literal = vocabulary.add(spelling, kUserDefined);
  vocabulary.merges.push_back(spelled_bytes("\xDF") + ' ' + spelled_bytes("\xDF"));
  const auto tokenizer = created(vocabulary.file());
  CHECK(encoded(*tokenizer, text) == Ids{0xDF, 0xDF});
  CHECK(encoded(*tokenizer, spelling) == Ids{literal});
  CHECK(tokenizer->decode(encoded(*tokenizer, spelling)).value() == spelling);
}

TEST_CASE("tokenizer catalogue V24: a text above 2^31 - 1 bytes is refused") {
  const auto tokenizer = created(byte_level().file());
  // Only the length is looked at: no such memory is needed.
  const std::string_view text("x", (size_t{1} << 31));
  Ids ids = {1};
  const Status status = tokenizer->encode(text, SpecialTokens::as_text, ids);
  REQUIRE_FALSE(status.ok());
  CHECK(status.cause() == Cause::limit);
  CHECK(ids == Ids{1});
}

TEST_CASE("tokenizer catalogue V26: ids outside the vocabulary cannot be decoded") {
  for (const auto& vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    const auto tokenizer = created(vocabulary.file());
    for (const TokenId id : {-1, tokenizer->n_vocab(), INT32_MIN, INT32_MAX}) {
      const auto decoded = tokenizer->decode(Ids{5, id});
      REQUIRE_FALSE(decoded.ok());
      CHECK(decoded.status().cause() == Cause::vocabulary);
    }
  }
}

TEST_CASE("tokenizer catalogue V27: a character split over tokens is held back, then flushed") {
  StreamDecoder decoder(created(byte_level().file()));
  CHECK(decoder.push('h') == "h");
  CHECK(decoder.push(0xE2) == "");
  CHECK(decoder.push(0x82) == "");
  CHECK(decoder.push(0xAC) == "\u20ac");
  CHECK(decoder.push(0xF0) == "");
  CHECK(decoder.push('h') == "\xF0h");  // will never be a character
  CHECK(decoder.push(0xE2) == "");
  CHECK(decoder.finish() == "\xE2");
  CHECK(decoder.finish() == "");
}

TEST_CASE("tokenizer catalogue V28: every pair of ids decodes, and encodes again") {
  std::mt19937 random(28);
  for (const auto& vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    const auto tokenizer = created(vocabulary.file());
    const auto any = [&] {
      return static_cast<TokenId>(random() % static_cast<uint32_t>(tokenizer->n_vocab()));
    };
    for (TokenId id = 0; id < tokenizer->n_vocab(); ++id) CHECK(tokenizer->decode(Ids{id}).ok());
    for (int round = 0; round < 100000; ++round) {
      const auto text = tokenizer->decode(Ids{any(), any()});
      REQUIRE(text.ok());
      const auto again = tokenizer->decode(encoded(*tokenizer, *text));
      if (vocabulary.model != "t5") REQUIRE((*again == *text));
    }
  }
}

TEST_CASE("tokenizer catalogue V29: random Unicode strings come back whole") {
  std::mt19937 random(29);
  const auto bpe = created(byte_level("gpt-4o").file());
  const auto spm = created(sentencepiece().file());
  for (int round = 0; round < 50000; ++round) {
    std::string text;
    for (auto n = random() % 12; n > 0; --n) {
      const uint32_t c = random() % 3 ? random() % 0x80 : 0xA0 + random() % 0xD700;
      if (c < 0x80) {
        text += static_cast<char>(c);
      } else if (c < 0x800) {
        text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
      } else if (c != 0x2581) {
        text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
                 static_cast<char>(0x80 | (c & 63))};
      }
    }
    REQUIRE((bpe->decode(encoded(*bpe, text)).value() == text));
    REQUIRE((spm->decode(encoded(*spm, text)).value() == text));
  }
}

TEST_CASE("tokenizer catalogue V30: a hundred thousand special tokens, a megabyte of text") {
  auto vocabulary = byte_level();
  for (int i = 0; i < 100000; ++i) {
    vocabulary.add("<|special_" + std::to_string(i) + "|>", i % 2 ? kControl : kUserDefined);
  }
  // All prefixes of one another, and never complete in the text.
  for (size_t n = 2; n < 1000; ++n) vocabulary.add(std::string(n, '<') + "|", kControl);
  const GgufBuilder file = vocabulary.file();
  std::shared_ptr<const Tokenizer> tokenizer;
  CHECK(seconds([&] { tokenizer = created(file); }) < 1.0);
  for (const std::string unit : {"<", "<|special_9999", "<|special_77|>", "|>"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += unit;
    CHECK(seconds([&] { encoded(*tokenizer, text, SpecialTokens::recognised); }) < 1.0);
  }
}

}  // namespace
}  // namespace larder::formats
