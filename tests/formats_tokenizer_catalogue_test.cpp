// Malformed vocabularies: a typed error that names the key, or a defined meaning. Numbers V01 to
// V18 are the catalogue's. (V03, tokens and embedding rows, is the model's check.)
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "formats/text/tokenizer.h"
#include "tests/tokenizer_checks.h"

namespace larder::formats {
namespace {

using namespace tests;

void check_refused(const GgufBuilder& file, Cause cause, const std::string& key) {
  CAPTURE(key);
  const auto tokenizer = tokenizer_of(file);
  REQUIRE_FALSE(tokenizer.ok());
  const Status status = tokenizer.status();
  CAPTURE(status.to_string());
  CHECK(cause_name(status.cause()) == cause_name(cause));
  CHECK(status.detail().subject == "key " + key);
  CHECK(status.detail().file == "test.gguf");
}

// The vocabulary with one key replaced, or removed where there is no value.
GgufBuilder with(const VocabularyBuilder& vocabulary, const RawKey& key) {
  GgufBuilder file = vocabulary.file();
  file.key(key.key) = key;
  return file;
}

GgufBuilder without(const VocabularyBuilder& vocabulary, const std::string& key) {
  GgufBuilder file = vocabulary.file();
  std::erase_if(file.keys, [&](const RawKey& k) { return k.key == key; });
  return file;
}

RawKey string_array(std::string key, const std::vector<std::string>& texts) {
  Bytes elements;
  for (const std::string& text : texts) elements += sized(text);
  return key_array(std::move(key), kString, texts.size(), elements);
}

Bytes repeated(const Bytes& element, size_t n) {
  Bytes out;
  for (size_t i = 0; i < n; ++i) out += element;
  return out;
}

const char* const kModel = "tokenizer.ggml.model";
const char* const kTokens = "tokenizer.ggml.tokens";
const char* const kScores = "tokenizer.ggml.scores";
const char* const kTypes = "tokenizer.ggml.token_type";
const char* const kMerges = "tokenizer.ggml.merges";
const char* const kCharsmap = "tokenizer.ggml.precompiled_charsmap";

TEST_CASE("tokenizer catalogue V01: the model must be named, known and a string") {
  check_refused(without(byte_level(), kModel), Cause::vocabulary, kModel);
  check_refused(with(byte_level(), key_string(kModel, "zzz")), Cause::vocabulary, kModel);
  check_refused(with(byte_level(), key_u32(kModel, 7)), Cause::vocabulary, kModel);
  const auto unknown = tokenizer_of(with(byte_level(), key_string(kModel, "zzz")));
  CHECK(unknown.status().to_string().find("\"zzz\"") != std::string::npos);
}

TEST_CASE("tokenizer catalogue V02: at least two tokens, as strings") {
  for (const auto& vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    check_refused(without(vocabulary, kTokens), Cause::vocabulary, kTokens);
    check_refused(with(vocabulary, string_array(kTokens, {})), Cause::vocabulary, kTokens);
    check_refused(with(vocabulary, string_array(kTokens, {"a"})), Cause::vocabulary, kTokens);
    check_refused(with(vocabulary, key_array(kTokens, kU32, 2, le32(1) + le32(2))),
                  Cause::vocabulary, kTokens);
    check_refused(with(vocabulary, key_u32(kTokens, 3)), Cause::vocabulary, kTokens);
  }
}

TEST_CASE("tokenizer catalogue V04: one finite float32 score for each token") {
  for (const auto& vocabulary : {sentencepiece(), unigram()}) {
    const size_t n = vocabulary.tokens.size();
    const auto scores = [&](uint32_t type, const Bytes& element, size_t count) {
      return with(vocabulary, key_array(kScores, type, count, repeated(element, count)));
    };
    check_refused(without(vocabulary, kScores), Cause::vocabulary, kScores);
    check_refused(scores(kF32, le_f32(1), n - 1), Cause::vocabulary, kScores);
    check_refused(scores(kF32, le_f32(1), n + 1), Cause::vocabulary, kScores);
    check_refused(scores(kU8, le8(1), n), Cause::vocabulary, kScores);
    check_refused(scores(kF64, le_f64(1), n), Cause::vocabulary, kScores);
    check_refused(scores(kF32, le32(0x7FC00000), n), Cause::vocabulary, kScores);
    check_refused(scores(kF32, le32(0x7F800000), n), Cause::vocabulary, kScores);
  }
}

TEST_CASE("tokenizer catalogue V05: one known type for each token, in 32 bits") {
  for (const auto& vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    const size_t n = vocabulary.tokens.size();
    const auto types = [&](uint32_t type, const Bytes& element, size_t count) {
      return with(vocabulary, key_array(kTypes, type, count, repeated(element, count)));
    };
    check_refused(types(kI32, le32(1), n - 1), Cause::vocabulary, kTypes);
    check_refused(types(kU8, le8(1), n), Cause::vocabulary, kTypes);
    for (const uint32_t value : {999U, 0U, 7U, 0xFFFFFFFFU}) {
      check_refused(types(kI32, le32(value), n), Cause::vocabulary, kTypes);
    }
    created(without(vocabulary, kTypes));
  }
}

TEST_CASE("tokenizer catalogue V06: ids outside the vocabulary are refused; -1 means none") {
  for (const char* const name : {"bos", "eos", "unknown", "padding", "eot", "eom", "fim_pad"}) {
    const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
    for (const auto& vocabulary : {byte_level(), sentencepiece(), unigram()}) {
      const auto n = static_cast<uint32_t>(vocabulary.tokens.size());
      check_refused(with(vocabulary, key_u32(key, n)), Cause::vocabulary, key);
      check_refused(with(vocabulary, key_u32(key, 0x80000000)), Cause::vocabulary, key);
      check_refused(with(vocabulary, key_string(key, "2")), Cause::vocabulary, key);
      created(with(vocabulary, key_u32(key, n - 1)));
      created(with(vocabulary, key_u32(key, 0xFFFFFFFF)));
    }
  }
  const auto none = created(with(sentencepiece(), key_u32("tokenizer.ggml.bos_token_id", ~0U)));
  CHECK(none->bos() == kNoToken);
  CHECK_FALSE(none->adds_bos());
  check_refused(with(byte_level(), key_array("tokenizer.ggml.eos_token_ids", kI32, 1, le32(9999))),
                Cause::vocabulary, "tokenizer.ggml.eos_token_ids");
}

TEST_CASE("tokenizer catalogue V07: all tokens alike is no vocabulary; some alike is one") {
  for (auto vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    auto alike = vocabulary;
    for (Token& token : alike.tokens) token.text = "same";
    check_refused(alike.file(), Cause::vocabulary, kTokens);
    vocabulary.add(vocabulary.tokens[5].text,
                   vocabulary.tokens[5].type == kByteToken ? kNormal : 1);
    const auto tokenizer = created(vocabulary.file());
    CHECK(tokenizer->find(vocabulary.tokens[5].text) == 5);  // the lowest id counts
  }
}

TEST_CASE("tokenizer catalogue V08: tokens that are no UTF-8 are bytes") {
  for (auto vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    const TokenId first = vocabulary.add("\xFF\xFE");
    vocabulary.add("\xC3");
    vocabulary.add("\xC3");
    vocabulary.add("he\xE2\x96");
    vocabulary.add("\x96\x81", kUserDefined);
    const auto tokenizer = created(vocabulary.file());
    CHECK(tokenizer->token_bytes(first, false) == "\xFF\xFE");
    for (const char* const text :
         {"hello", "\xFF\xFE", "he\xE2\x96\x81he", "\xC3\xC3", "\xC3\xA9"}) {
      CHECK(tokenizer->decode(encoded(*tokenizer, text)).ok());
    }
  }
}

TEST_CASE("tokenizer catalogue V09: an empty token is never matched") {
  for (auto vocabulary : {byte_level(), sentencepiece(), unigram()}) {
    const TokenId normal = vocabulary.add(""), control = vocabulary.add("", kControl);
    vocabulary.add("", kUserDefined);
    const auto tokenizer = created(vocabulary.file());
    CHECK(tokenizer->find("") == kNoToken);
    for (const TokenId id : encoded(*tokenizer, "hello AA", SpecialTokens::recognised)) {
      CHECK(id != normal);
      CHECK(id != control);
    }
    CHECK(encoded(*tokenizer, "").empty());
  }
}

TEST_CASE(
    "tokenizer catalogue V10: a token of a megabyte is a token, one of 16 MiB + 1 is refused") {
  for (const auto& plain : {byte_level(), sentencepiece(), unigram()}) {
    const std::string long_text(size_t{1} << 20, 'A');
    for (const int32_t type : {kNormal, kControl, kUserDefined}) {
      auto vocabulary = plain;
      vocabulary.add(long_text, type);
      CHECK(seconds([&] {
              const auto tokenizer = created(vocabulary.file());
              encoded(*tokenizer, long_text + "B", SpecialTokens::recognised);
            }) < 1.0);
    }
    auto vocabulary = plain;
    vocabulary.add(std::string((size_t{16} << 20) + 1, 'A'));
    const auto refused = tokenizer_of(vocabulary.file());
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().cause() == Cause::limit);
  }
}

TEST_CASE("tokenizer catalogue V11: without byte tokens what has no token is unknown") {
  auto vocabulary = sentencepiece();
  std::erase_if(vocabulary.tokens, [](const Token& token) { return token.type == kByteToken; });
  const auto tokenizer = created(vocabulary.file());
  const Ids ids = encoded(*tokenizer, "hello\u4e2d\xFF");
  REQUIRE(ids.size() == 3);
  CHECK(tokenizer->text(ids[0]) == "\u2581hello");
  CHECK(ids[1] == tokenizer->unknown());
  CHECK(ids[2] == tokenizer->unknown());
}

TEST_CASE("tokenizer catalogue V12: byte tokens are spelt <0x00> to <0xFF>, once each") {
  for (const char* const text : {"<0x-1>", "<0xZZ>", "<0x1>", "<0x100>", "<0xab>", "", "A"}) {
    auto vocabulary = sentencepiece();
    vocabulary.add(text, kByteToken);
    check_refused(vocabulary.file(), Cause::vocabulary, kTokens);
  }
  auto twice = sentencepiece();
  twice.add("<0x41>", kByteToken);
  check_refused(twice.file(), Cause::vocabulary, kTokens);
  auto plain = sentencepiece();
  const TokenId id = plain.add("<0x-1>");
  CHECK(created(plain.file())->token_bytes(id, false) == "<0x-1>");
  // Without types the spelling decides.
  const auto untyped = created(without(sentencepiece(), kTypes));
  CHECK(encoded(*untyped, "\x07") == Ids{untyped->find("\u2581"), untyped->find("<0x07>")});
}

TEST_CASE("tokenizer catalogue V13: byte-level BPE needs merges, as strings") {
  check_refused(without(byte_level(), kMerges), Cause::merges, kMerges);
  check_refused(with(byte_level(), key_u32(kMerges, 1)), Cause::merges, kMerges);
  check_refused(with(byte_level(), key_array(kMerges, kU8, 2, le8(1) + le8(2))), Cause::merges,
                kMerges);
}

TEST_CASE("tokenizer catalogue V14: a merge is two texts with one space between") {
  for (const char* const merge : {"ab", "", " ", "a b c", " a", "a ", "a  b"}) {
    CAPTURE(merge);
    check_refused(with(byte_level(), string_array(kMerges, {"h e", merge})), Cause::merges,
                  kMerges);
  }
}

TEST_CASE("tokenizer catalogue V15: merges that name no tokens are ignored") {
  auto vocabulary = byte_level();
  const Ids before = encoded(*created(vocabulary.file()), "hello AAAA");
  vocabulary.merges.insert(vocabulary.merges.begin(), {"zz y", "h zz", "o o"});
  CHECK(encoded(*created(vocabulary.file()), "hello AAAA") == before);
}

TEST_CASE("tokenizer catalogue V16: cycles and a million equal merges are linear") {
  auto vocabulary = byte_level();
  vocabulary.merges.assign(1000000, "h e");
  vocabulary.merges.push_back("he h");
  vocabulary.merges.push_back("h he");
  const GgufBuilder file = vocabulary.file();
  std::shared_ptr<const Tokenizer> tokenizer;
  CHECK(seconds([&] { tokenizer = created(file); }) < 1.0);
  CHECK(encoded(*tokenizer, "hehe") == Ids{256, 256});
}

TEST_CASE("tokenizer catalogue V17: an unknown pre-tokenizer is refused by name") {
  const auto refused = tokenizer_of(byte_level("nosuch").file());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().cause() == Cause::vocabulary);
  CHECK(refused.status().to_string() ==
        "test.gguf: key tokenizer.ggml.pre: unknown pre-tokenizer \"nosuch\"");
  check_refused(without(byte_level(), "tokenizer.ggml.pre"), Cause::vocabulary,
                "tokenizer.ggml.pre");
}

TEST_CASE("tokenizer catalogue V18: the normalisation map is checked before it is believed") {
  const auto map = [&](const Bytes& blob, uint32_t type = kU8) {
    const size_t n = type == kU8 ? blob.size() : blob.size() / 4;
    return with(unigram(), key_array(kCharsmap, type, n, blob));
  };
  for (const Bytes& blob :
       {Bytes(), Bytes("\x04"), Bytes("\x04\0", 2), Bytes("\x04\0\0", 3),
        le32(8) + le32(0),  // array larger than the map
        le32(0xFFFFFFFC) + le32(0) + Bytes(1, '\0'), le32(0) + Bytes(1, '\0'),  // no unit
        le32(3) + le32(0) + Bytes(1, '\0'),                                     // part of a unit
        le32(4) + le32(0),                                                      // no replacements
        le32(4) + le32(0) + Bytes("abc")}) {                                    // not terminated
    check_refused(map(blob), Cause::vocabulary, kCharsmap);
  }
  check_refused(map(repeated(le32(0), 4), kU32), Cause::vocabulary, kCharsmap);
  check_refused(with(unigram(), key_string(kCharsmap, "abc")), Cause::vocabulary, kCharsmap);
}

TEST_CASE("tokenizer catalogue V18: a map of random units never looks outside itself") {
  std::mt19937 random(18);
  for (int round = 0; round < 200; ++round) {
    const uint32_t n_units = 1 + random() % 600;
    Bytes blob = le32(n_units * 4);
    for (uint32_t i = 0; i < n_units; ++i) {
      blob += round % 2 ? le32(static_cast<uint32_t>(random()))
                        : le32((random() % n_units) << 10 | (random() % 2) << 8 | random() % 256);
    }
    for (auto n = random() % 50; n > 0; --n) blob += static_cast<char>(random() % 100);
    blob += '\0';
    const auto tokenizer = created(with(unigram(), key_array(kCharsmap, kU8, blob.size(), blob)));
    std::string text;
    for (int i = 0; i < 300; ++i) text += static_cast<char>(random());
    CHECK(tokenizer->decode(encoded(*tokenizer, text)).ok());
  }
}

}  // namespace
}  // namespace larder::formats
