// Tokenizer files of checkpoints: what they become encodes as the original libraries do.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "formats/sentencepiece/sentencepiece_model.h"
#include "formats/text/tokenizer.h"
#include "formats/tokenizer_files/vocabulary_tables.h"

using namespace larder;
using namespace larder::formats;
using nlohmann::json;

namespace {

const std::string kTokenizers = LARDER_SHARED_DIR "/tokenizers/";

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::shared_ptr<const Tokenizer> tokenizer_of(const VocabularyTables& tables,
                                              std::vector<std::byte>& header) {
  GgufWriter writer;
  tables.write(writer);
  header = writer.header();
  const auto file = GgufFile::parse(header, "vocabulary");
  REQUIRE_MESSAGE(file.ok(), file.status().to_string());
  const auto tokenizer = Tokenizer::create(**file);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().to_string());
  return *tokenizer;
}

// Lines of golden.jsonl that come out otherwise.
int n_different(const VocabularyTables& tables, const std::string& family) {
  std::vector<std::byte> header;
  const auto tokenizer = tokenizer_of(tables, header);
  std::ifstream lines(kTokenizers + family + "/golden.jsonl");
  int n = 0, n_lines = 0;
  for (std::string line; std::getline(lines, line); ++n_lines) {
    const json golden = json::parse(line);
    std::vector<TokenId> ids;
    const auto special =
        golden["special"].get<bool>() ? SpecialTokens::recognised : SpecialTokens::as_text;
    REQUIRE(tokenizer->encode(golden["text"].get<std::string>(), special, ids).ok());
    n += ids != golden["ids"].get<std::vector<TokenId>>();
  }
  CHECK(n_lines > 600);
  return n;
}

std::string with_pre_tokenizer(const std::string& rules, const std::string& more = "") {
  return R"({"normalizer": null, "pre_tokenizer": )" + rules +
         R"(, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"])" +
         more + "}}";
}

}  // namespace

TEST_CASE("tokenizer files: published ids of tokenizer.json and of SentencePiece models") {
  if (!std::filesystem::exists(kTokenizers)) {
    MESSAGE("skipped: no tokenizers here");
    return;
  }
  struct Family {
    const char *name, *file, *pre;
  };
  for (const Family& family : {Family{"qwen3", "tokenizer.json", "qwen2"},
                               {"deepseek-v3", "tokenizer.json", "deepseek-v3"},
                               {"gpt-oss", "tokenizer.json", "gpt-4o"},
                               {"llama-3.1", "tokenizer.json", "llama-bpe"},
                               {"olmoe", "tokenizer.json", "olmo"},
                               {"phi-3", "tokenizer.json", "default"},
                               {"mixtral", "tokenizer.model", "default"},
                               {"t5", "spiece.model", "default"}}) {
    CAPTURE(std::string(family.name));
    const std::string bytes = content(kTokenizers + family.name + "/" + family.file);
    const bool is_json = std::string(family.file) == "tokenizer.json";
    const auto tables = is_json ? read_tokenizer_json(bytes, "") : read_sentencepiece(bytes);
    REQUIRE_MESSAGE(tables.ok(), tables.status().to_string());
    CHECK(tables->pre == family.pre);
    CHECK(n_different(*tables, family.name) == 0);
  }
}

TEST_CASE("tokenizer files: a rule that is not known is told with its text") {
  const auto tables = read_tokenizer_json(
      with_pre_tokenizer(
          R"({"type": "Split", "pattern": {"Regex": "x+y"}, "behavior": "Isolated"})"),
      "");
  REQUIRE(!tables.ok());
  CHECK(tables.status().cause() == Cause::vocabulary);
  CHECK(tables.status().to_string().find("x+y") != std::string::npos);
  for (const char* rules :
       {R"({"type": "Whitespace"})", R"({"type": "ByteLevel", "add_prefix_space": true})",
        R"({"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated"})"})
    CHECK(read_tokenizer_json(with_pre_tokenizer(rules), "").status().cause() == Cause::vocabulary);
}

TEST_CASE("tokenizer files: both spellings of merges, and a preferred name of a rule") {
  const std::string rule = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";
  const auto plain = read_tokenizer_json(with_pre_tokenizer(rule), "");
  REQUIRE_MESSAGE(plain.ok(), plain.status().to_string());
  CHECK(plain->merges == std::vector<std::string>{"a b"});
  const auto pairs =
      read_tokenizer_json(with_pre_tokenizer(rule, R"(, "merges": [["a", "b"]])"), "");
  REQUIRE(pairs.ok());
  CHECK(pairs->merges == plain->merges);
  const std::string digits = R"({"type": "Sequence", "pretokenizers": [{"type": "Digits",
      "individual_digits": true}, )" +
                             rule + "]}";
  CHECK(read_tokenizer_json(with_pre_tokenizer(digits), "")->pre == "starcoder");
  CHECK(read_tokenizer_json(with_pre_tokenizer(digits), "refact")->pre == "refact");
  CHECK(read_tokenizer_json(with_pre_tokenizer(digits), "qwen2")->pre == "starcoder");
  CHECK(
      read_tokenizer_json(with_pre_tokenizer(rule, R"(, "merges": ["a"])"), "").status().cause() ==
      Cause::merges);
}

TEST_CASE("sentencepiece: every cut of a model is an error or a model, and none reads past it") {
  // two pieces, and a trainer's part that says BPE
  const std::string piece_x("\x0a\x08\x0a\x01x\x15\x00\x00\x80\x3f", 10);
  const std::string piece_y("\x0a\x08\x0a\x01y\x15\x00\x00\x00\x40", 10);
  const std::string model = piece_x + piece_y + "\x12\x02\x18\x02";
  const auto whole = SentencePieceModel::parse(model);
  REQUIRE_MESSAGE(whole.ok(), whole.status().to_string());
  REQUIRE(whole->pieces.size() == 2);
  CHECK(whole->pieces[1].text == "y");
  CHECK(whole->pieces[1].score == 2);
  CHECK(whole->kind == SentencePieceKind::bpe);
  for (size_t n = 0; n < model.size(); ++n) {
    const std::string cut = model.substr(0, n);  // of its own memory
    const auto parsed = SentencePieceModel::parse(cut);
    CHECK(parsed.ok() == (n == 20));  // only the trainer's part may be absent
  }
  CHECK(
      SentencePieceModel::parse("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f").status().cause() ==
      Cause::truncated);
}
