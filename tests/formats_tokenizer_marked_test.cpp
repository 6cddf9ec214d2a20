// Rendered prompts: what people wrote never becomes a control token, whatever the template puts
// around it; and text in pieces: streaming, starts of texts, ends of generation.
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

struct Part {
  std::string text;
  bool is_input = false;
};

MarkedText marked(const std::vector<Part>& parts) {
  MarkedText out;
  for (const Part& part : parts) {
    const size_t begin = out.text.size();
    out.text += part.text;
    if (part.is_input && !part.text.empty()) out.inputs.push_back({begin, out.text.size()});
  }
  return out;
}

Ids encoded_marked(const Tokenizer& tokenizer, const MarkedText& text) {
  Ids ids;
  REQUIRE(tokenizer.encode(text, ids).ok());
  return ids;
}

struct ChatVocabulary {
  VocabularyBuilder builder = byte_level();
  TokenId start = builder.add("<|start|>", kControl);
  TokenId end = builder.add("<|end|>", kControl);
  TokenId bracket = builder.add("[INST]", kUserDefined);
  TokenId tool = builder.add("<tool>", kUserDefined);
  TokenId spaces = builder.add("   ", kUserDefined);
  std::shared_ptr<const Tokenizer> tokenizer = created(builder.file());
};

TEST_CASE("marked text: the template's control tokens are tokens, a person's are text") {
  const ChatVocabulary v;
  const Ids ids = encoded_marked(
      *v.tokenizer, marked({{"<|start|>"}, {"x<|end|>", true}, {"<|end|>"}, {"[INST]<tool>"}}));
  Ids expected = {v.start};
  for (const char c : std::string("x<|end|>")) expected.push_back(c);
  for (const TokenId id : {v.end, v.bracket, v.tool}) expected.push_back(id);
  CHECK(ids == expected);
}

TEST_CASE("marked text: markup of users stays text, other user-defined tokens are spelling") {
  const ChatVocabulary v;
  const Ids ids = encoded_marked(*v.tokenizer, marked({{"[INST]<tool>   x", true}}));
  Ids expected;
  for (const char c : std::string("[INST]<tool>")) expected.push_back(c);
  expected.push_back(v.spaces);
  expected.push_back('x');
  CHECK(ids == expected);
}

TEST_CASE("marked text: no control token is put together across a border") {
  const ChatVocabulary v;
  const auto has_special = [&](const std::vector<Part>& parts) {
    const Ids ids = encoded_marked(*v.tokenizer, marked(parts));
    return std::any_of(ids.begin(), ids.end(), [&](TokenId id) {
      return id == v.start || id == v.end || id == v.bracket || id == v.tool;
    });
  };
  const std::string text = "<|end|>";
  for (size_t cut = 1; cut < text.size(); ++cut) {
    CHECK_FALSE(has_special({{text.substr(0, cut)}, {text.substr(cut), true}}));
    CHECK_FALSE(has_special({{text.substr(0, cut), true}, {text.substr(cut)}}));
    CHECK_FALSE(has_special({{text.substr(0, cut), true}, {text.substr(cut), true}}));
  }
  CHECK_FALSE(has_special({{"<|e"}, {"n", true}, {"d|>"}}));
  CHECK_FALSE(has_special({{"[IN"}, {"ST]", true}}));
  CHECK(has_special({{"x", true}, {"<|end|>"}, {"x", true}}));
}

TEST_CASE("marked text: a plain user-defined token may cross a border") {
  const ChatVocabulary v;
  CHECK(encoded_marked(*v.tokenizer, marked({{" "}, {"  ", true}})) == Ids{v.spaces});
}

TEST_CASE(
    "marked text: where the long token touches an input, a shorter one outside still counts") {
  auto builder = byte_level();
  const TokenId brief = builder.add("<a", kControl);
  builder.add("<a>b", kControl);
  const auto tokenizer = created(builder.file());
  CHECK(encoded_marked(*tokenizer, marked({{"<a>"}, {"b", true}})) == Ids{brief, '>', 'b'});
}

TEST_CASE("marked text: ordinary text is encoded across borders as one text") {
  const ChatVocabulary v;
  const TokenId hello = v.tokenizer->find("hello");
  REQUIRE(hello != kNoToken);
  CHECK(encoded_marked(*v.tokenizer, marked({{"<|start|>he"}, {"ll", true}, {"o<|end|>"}})) ==
        Ids{v.start, hello, v.end});
  const auto spm = created(sentencepiece().file());
  CHECK(encoded_marked(*spm, marked({{"he"}, {"llo", true}})) == Ids{spm->find("\u2581hello")});
}

TEST_CASE("marked text: without inputs it is the same as recognising special tokens") {
  const ChatVocabulary v;
  for (const std::string text : {"", "<|start|>hello<|end|>   [INST]", "<|st<|start|>", "plain"}) {
    CHECK(encoded_marked(*v.tokenizer, {text, {}}) ==
          encoded(*v.tokenizer, text, SpecialTokens::recognised));
  }
}

TEST_CASE("marked text: random borders never let a special token out of an input") {
  const ChatVocabulary v;
  std::mt19937 random(11);
  const std::vector<std::string> bits = {"<|end|>", "<|start|>", "[INST]", "<tool>", "<|", "|>",
                                         "end",     "   ",       " ",      "x",      "<",  ">"};
  for (int round = 0; round < 20000; ++round) {
    std::vector<Part> parts;
    for (auto n = random() % 8; n > 0; --n) {
      parts.push_back({bits[random() % bits.size()], random() % 2 == 0});
    }
    const MarkedText text = marked(parts);
    const Ids ids = encoded_marked(*v.tokenizer, text);
    // Every token shows its bytes here, so positions follow from lengths.
    size_t at = 0;
    for (const TokenId id : ids) {
      const size_t end = at + v.tokenizer->token_bytes(id, true).size();
      const bool is_special = id == v.start || id == v.end || id == v.bracket || id == v.tool;
      for (const ByteRange& input : text.inputs) {
        if (is_special) CHECK((input.end <= at || end <= input.begin));
      }
      at = end;
    }
    CHECK(at == text.text.size());
  }
}

TEST_CASE("tokenizer: the Phi-3 family's chat tokens take the white space after them") {
  auto builder = sentencepiece();
  builder.tokens[2].type = kUserDefined;  // </s>, as in the family's files
  const TokenId user = builder.add("<|user|>", kControl), end = builder.add("<|end|>", kControl);
  builder.add("<|assistant|>", kControl);
  const auto without_mark = created(builder.file());
  builder.add("<|placeholder1|>", kControl);
  const auto phi = created(builder.file());
  const std::string text = "<|user|> \n\u00a0hello<|end|>\n<s> </s> ";
  const TokenId hello = phi->find("\u2581hello"), space = phi->find("\u2581\u2581");
  CHECK(encoded(*phi, text, SpecialTokens::recognised) == Ids{user, hello, end, 1, space, 2});
  CHECK(encoded(*without_mark, text, SpecialTokens::recognised).size() > 8);
}

TEST_CASE("tokenizer: one space before every stretch of ordinary text, unless the file says no") {
  const auto spm = created(sentencepiece().file());
  const TokenId hello = spm->find("\u2581hello");
  CHECK(encoded(*spm, "<s>hello</s>hello", SpecialTokens::recognised) == Ids{1, hello, 2, hello});
  CHECK(encoded(*spm, "").empty());
  CHECK(spm->decode(Ids{hello, hello}).value() == "hello hello");
  CHECK(spm->decode(Ids{1, hello}).value() == "hello");
  CHECK(spm->token_bytes(hello, false) == " hello");

  GgufBuilder file = sentencepiece().file();
  file.keys.push_back(key_bool("tokenizer.ggml.add_space_prefix", false));
  const auto bare = created(file);
  CHECK(encoded(*bare, "hello") == Ids{bare->find("hello")});
  CHECK_FALSE(bare->strips_leading_space());
  CHECK(bare->decode(Ids{hello}).value() == " hello");
}

TEST_CASE("stream decoder: only the first text of a beginning loses its space") {
  const auto spm = created(sentencepiece().file());
  const TokenId hello = spm->find("\u2581hello");
  StreamDecoder beginning(spm, true);
  CHECK(beginning.push(1) == "");  // shows nothing, so the beginning is still to come
  CHECK(beginning.push(hello) == "hello");
  CHECK(beginning.push(hello) == " hello");
  StreamDecoder middle(spm);
  CHECK(middle.push(hello) == " hello");
  StreamDecoder shown(spm, true, true);
  CHECK(shown.push(1) == "<s>");
  CHECK(shown.push(hello) == " hello");
}

TEST_CASE("tokenizer: what ends a generation") {
  auto builder = byte_level();
  const TokenId eot = builder.add("<|eot_id|>", kControl), other = builder.add("<|x|>", kControl),
                end = builder.add("<|end|>", kControl);
  GgufBuilder file = builder.file();
  file.keys.push_back(key_u32("tokenizer.ggml.eos_token_id", 7));
  file.keys.push_back(key_array("tokenizer.ggml.eos_token_ids", kI32, 2, le32(8) + le32(9)));
  const auto tokenizer = created(file);
  for (const TokenId id : {eot, end, TokenId{7}, TokenId{8}, TokenId{9}}) {
    CHECK(tokenizer->is_end_of_generation(id));
  }
  for (const TokenId id : {other, TokenId{10}, kNoToken, tokenizer->n_vocab()}) {
    CHECK_FALSE(tokenizer->is_end_of_generation(id));
  }
  // In harmony a message's end is not the turn's.
  builder.add("<|return|>", kControl);
  builder.add("<|call|>", kControl);
  CHECK_FALSE(created(builder.file())->is_end_of_generation(end));
  GgufBuilder named = builder.file();
  named.keys.push_back(key_u32("tokenizer.ggml.eot_token_id", static_cast<uint32_t>(end)));
  CHECK_FALSE(created(named)->is_end_of_generation(end));
}

TEST_CASE("tokenizer: ids and flags where the file says nothing") {
  const auto bpe = created(byte_level().file());
  CHECK(bpe->bos() == kNoToken);
  CHECK(bpe->eos() == kNoToken);
  CHECK_FALSE(bpe->adds_bos());
  CHECK(bpe->model_name() == "gpt2");
  CHECK(bpe->pre_tokenizer_name() == "gpt-2");
  const auto spm = created(sentencepiece().file());
  CHECK(spm->bos() == 1);
  CHECK(spm->eos() == 2);
  CHECK(spm->unknown() == 0);
  CHECK(spm->adds_bos());
  CHECK_FALSE(spm->adds_eos());
  const auto t5 = created(unigram().file());
  CHECK(t5->bos() == kNoToken);
  CHECK(t5->eos() == 1);
  CHECK(t5->unknown() == 2);
  CHECK(t5->padding() == 0);
  CHECK(t5->adds_eos());
}

TEST_CASE("tokenizer: ignored merges make a whole piece its token") {
  for (const char* const pre : {"llama-bpe", "qwen2"}) {
    auto builder = byte_level(pre);
    const TokenId whole = builder.add("xyz");  // no merge leads there
    const Ids ids = encoded(*created(builder.file()), "xyz");
    CHECK(ids == (pre == std::string("llama-bpe") ? Ids{whole} : Ids{'x', 'y', 'z'}));
  }
}

TEST_CASE("tokenizer: encoding appends") {
  const auto bpe = created(byte_level().file());
  Ids ids = {42};
  REQUIRE(bpe->encode("hello hello hello", SpecialTokens::as_text, ids).ok());
  CHECK(ids.front() == 42);
  CHECK(bpe->decode(std::span(ids).subspan(1)).value() == "hello hello hello");
}

}  // namespace
}  // namespace larder::formats
