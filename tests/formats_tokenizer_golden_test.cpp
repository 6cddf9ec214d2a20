// Every published or recorded tokenisation in LARDER_SHARED_DIR/tokenizers, line by line.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/text/tokenizer.h"

namespace larder::formats {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<TokenId>;

const std::string kFolder = LARDER_SHARED_DIR "/tokenizers/";

bool has_data() {
  if (std::filesystem::exists(kFolder + "README.md")) return true;
  MESSAGE("no reference data in " << kFolder);
  return false;
}

std::shared_ptr<const Tokenizer> open_family(const std::string& family) {
  static std::map<std::string, std::shared_ptr<const Tokenizer>> opened;
  auto& tokenizer = opened[family];
  if (tokenizer != nullptr) return tokenizer;
  const auto file = GgufFile::open(kFolder + family + "/vocab.gguf");
  REQUIRE_MESSAGE(file.ok(), file.status().to_string());
  auto created = Tokenizer::create(**file);
  REQUIRE_MESSAGE(created.ok(), created.status().to_string());
  return tokenizer = *created;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream stream(path);
  REQUIRE_MESSAGE(stream.good(), path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Ids encoded(const Tokenizer& tokenizer, const std::string& text, SpecialTokens special) {
  Ids ids;
  const Status status = tokenizer.encode(text, special, ids);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return ids;
}

struct Family {
  const char* name;
  size_t n_lines;
};
const Family kFamilies[] = {{"qwen3", 708},      {"deepseek-v3", 712}, {"gpt-oss", 717},
                            {"llama-3.1", 706},  {"phi-3", 687},       {"mixtral", 671},
                            {"olmoe", 689},      {"t5", 672},          {"refact", 47},
                            {"deepseek-llm", 47}};

TEST_CASE("tokenizer goldens: every recorded line of every family") {
  if (!has_data()) return;
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const auto tokenizer = open_family(family.name);
    size_t n_lines = 0;
    for (const std::string& line : lines_of(kFolder + family.name + "/golden.jsonl")) {
      const Json golden = Json::parse(line);
      const auto special =
          golden.at("special").get<bool>() ? SpecialTokens::recognised : SpecialTokens::as_text;
      CAPTURE(line.substr(0, 400));
      CHECK(encoded(*tokenizer, golden.at("text"), special) == golden.at("ids").get<Ids>());
      ++n_lines;
    }
    CHECK(n_lines == family.n_lines);
  }
}

TEST_CASE("tokenizer goldens: ids decoded one at a time give the recorded bytes") {
  if (!has_data()) return;
  for (const Family& family : kFamilies) {
    CAPTURE(family.name);
    const std::string path = kFolder + family.name + "/decode.jsonl";
    if (!std::filesystem::exists(path)) continue;
    const auto tokenizer = open_family(family.name);
    for (const std::string& line : lines_of(path)) {
      const Json golden = Json::parse(line);
      CAPTURE(line);
      for (const bool at_start : {true, false}) {
        const bool is_continuation = !at_start && golden.contains("bytes_hex_continuation");
        StreamDecoder decoder(tokenizer, at_start);
        std::string bytes;
        for (const TokenId id : golden.at("ids").get<Ids>()) bytes += decoder.push(id);
        bytes += decoder.finish();
        const char* const key = is_continuation ? "bytes_hex_continuation" : "bytes_hex";
        CHECK(bytes == from_hex(golden.at(key)));
      }
    }
  }
}

TEST_CASE("tokenizer goldens: decoding what was encoded gives the text back") {
  if (!has_data()) return;
  size_t n_texts = 0;
  for (const std::string& line : lines_of(kFolder + "properties.jsonl")) {
    const Json property = Json::parse(line);
    const std::string text = property.at("text");
    CAPTURE(line);
    for (const Family& family : kFamilies) {
      if (family.n_lines == 47) continue;  // not part of the recording
      CAPTURE(family.name);
      const auto tokenizer = open_family(family.name);
      const auto decoded = tokenizer->decode(encoded(*tokenizer, text, SpecialTokens::as_text));
      REQUIRE(decoded.ok());
      CHECK(*decoded == property.at("decodes_to").value(family.name, text));
    }
    ++n_texts;
  }
  CHECK(n_texts == 293);
}

// A family's other published tokenisations (kitoken). Texts of "small" are lines in which "\n" and
// "\s" are spelt out; "utf8" is one text. Where the published vocabulary knows other special tokens
// than the family's file, lines that hold them are left out.
struct Published {
  const char* family;
  const char* tokens;
  SpecialTokens special;
  const char* other_special;
};
const Published kPublished[] = {
    {"llama-3.1", "tokens_llama32.txt", SpecialTokens::recognised, nullptr},
    {"deepseek-v3", "tokens_r1.txt", SpecialTokens::recognised, nullptr},
    {"gpt-oss", "tokens_gpt_oss.txt", SpecialTokens::recognised, nullptr},
    {"mixtral", "tokens_mistral01_sentencepiece.txt", SpecialTokens::as_text, nullptr},
    {"t5", "tokens_nai-t5.txt", SpecialTokens::as_text, nullptr},
    {"olmoe", "tokens_gpt_neox.txt", SpecialTokens::recognised, "<|endoftext|>"},
    {"phi-3", "tokens_llama2.txt", SpecialTokens::as_text, "</s>"}};

std::string unescaped(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string pair = text.substr(at, 2);
    const bool is_escape = pair == "\\n" || pair == "\\s";
    out.push_back(!is_escape ? text[at] : pair == "\\n" ? '\n' : ' ');
    at += is_escape;
  }
  return out;
}

Ids ids_of(const std::string& line) {
  Ids ids;
  std::stringstream stream(line);
  for (std::string id; std::getline(stream, id, ',');) ids.push_back(std::stoi(id));
  return ids;
}

std::string content_of(const std::string& path) {
  std::ifstream stream(path);
  std::stringstream content;
  content << stream.rdbuf();
  return content.str();
}

TEST_CASE("tokenizer goldens: published tokenisations of the same vocabularies") {
  if (!has_data()) return;
  const std::string folder = kFolder + "goldens/";
  for (const Published& published : kPublished) {
    CAPTURE(published.tokens);
    const auto tokenizer = open_family(published.family);
    const auto texts = lines_of(folder + "small_input.txt");
    const auto ids = lines_of(folder + "small_" + published.tokens);
    REQUIRE(texts.size() == ids.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      if (published.other_special && texts[i].find(published.other_special) != texts[i].npos) {
        continue;
      }
      CAPTURE(texts[i]);
      CHECK(encoded(*tokenizer, unescaped(texts[i]), published.special) == ids_of(ids[i]));
    }
    const std::string whole = folder + "utf8_" + published.tokens;
    if (!std::filesystem::exists(whole)) continue;
    CHECK(encoded(*tokenizer, content_of(folder + "utf8_input.txt"), published.special) ==
          ids_of(content_of(whole)));
  }
}

}  // namespace
}  // namespace larder::formats
