// What ends an answer, family by family: neither too few tokens, which is chatter behind the
// answer, nor too many, which cuts answers off.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "formats/text/pretokenizer.h"
#include "tests/tokenizer_checks.h"

namespace larder::formats {
namespace {

using namespace tests;

using Texts = std::set<std::string>;

// Every token that ends a generation, by text.
Texts ends_of(const Tokenizer& tokenizer) {
  Texts texts;
  for (TokenId id = 0; id < tokenizer.n_vocab(); ++id) {
    if (tokenizer.is_end_of_generation(id)) texts.insert(std::string(tokenizer.text(id)));
  }
  return texts;
}

const std::string kDeepseekEnd = "<\uFF5Cend\u2581of\u2581sentence\uFF5C>";

struct Family {
  std::string name, pre;
  std::string eos;     // what tokenizer.ggml.eos_token_id names
  Texts others;        // the ends besides
  Texts no_ends = {};  // control tokens inside answers, or of prompts
};

// pre: architectures.md, 8.2. Ends: eos_token_id in the families' published generation_config.json,
// and what their templates end turns with, 2026-08.
const std::vector<Family> kFamilies = {
    {"llama-3",
     "llama-bpe",
     "<|eot_id|>",
     {"<|eom_id|>", "<|end_of_text|>"},
     {"<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"}},
    {"llama-4",
     "llama4",
     "<|eot|>",
     {"<|eom|>", "<|end_of_text|>"},
     {"<|header_start|>", "<|header_end|>"}},
    {"qwen2, qwen3, qwen3next",
     "qwen2",
     "<|im_end|>",
     {"<|endoftext|>"},
     {"<|im_start|>", "<think>", "</think>", "<tool_call>"}},
    {"qwen35", "qwen35", "<|im_end|>", {"<|endoftext|>"}, {"<|im_start|>"}},
    {"deepseek-v2", "deepseek-llm", kDeepseekEnd, {}, {"<\uFF5CUser\uFF5C>"}},
    {"deepseek-v3", "deepseek-v3", kDeepseekEnd, {}, {"<\uFF5CAssistant\uFF5C>", "<think>"}},
    {"gpt-oss",
     "gpt-4o",
     "<|return|>",
     {"<|call|>", "<|endoftext|>"},
     {"<|start|>", "<|channel|>", "<|message|>", "<|end|>"}},
    {"solar-open",
     "llama3",
     "<|flush|>",
     {"<|calls|>", "<|endoftext|>"},
     {"<|begin|>", "<|think|>", "<|content|>", "<|end|>"}},
    {"olmoe", "olmo", "<|endoftext|>", {}, {"|||IP_ADDRESS|||", "<|user|>", "<|assistant|>"}},
    {"granite",
     "refact",
     "<|end_of_text|>",
     {},
     {"<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"}},
    {"glm4",
     "glm4",
     "<|endoftext|>",
     {"<|user|>", "<|observation|>"},
     {"[gMASK]", "<sop>", "<|system|>", "<|assistant|>", "<think>"}},
    {"lfm2",
     "lfm2",
     "<|im_end|>",
     {"<|endoftext|>"},
     {"<|im_start|>", "<|tool_call_start|>", "<|tool_call_end|>"}},
    {"hunyuan", "hunyuan", "<|eos|>", {}, {"<|startoftext|>", "<|extra_0|>", "<|extra_4|>"}},
    {"bailing", "bailingmoe2", "<|endoftext|>", {"<|role_end|>"}, {"<role>", "<think>"}},
    {"minimax-m2", "minimax-m2", "[e~[", {}, {"]~b]", "]~!b[", "<think>"}},
    {"dots1",
     "qwen2",
     "<|endofresponse|>",
     {"<|endoftext|>"},
     {"<|userprompt|>", "<|endofuserprompt|>", "<|response|>"}},
    {"dbrx", "dbrx", "<|im_end|>", {"<|endoftext|>"}, {"<|im_start|>"}},
};

void check_ends(const Family& family, VocabularyBuilder vocabulary) {
  CAPTURE(family.name);
  for (const Texts* texts : {&family.others, &family.no_ends}) {
    for (const std::string& text : *texts) vocabulary.add(text, kControl);
  }
  const auto eos = static_cast<uint32_t>(vocabulary.add(family.eos, kControl));
  Texts expected = family.others;
  expected.insert(family.eos);
  // A file that names none has the same.
  CHECK(ends_of(*created(vocabulary.file())) == expected);
  GgufBuilder file = vocabulary.file();
  file.keys.push_back(key_u32("tokenizer.ggml.eos_token_id", eos));
  CHECK(ends_of(*created(file)) == expected);
}

TEST_CASE("end of generation: byte-level families have theirs, named by keys or not") {
  for (const Family& family : kFamilies) {
    REQUIRE_MESSAGE(find_pretokenizer_rule(family.pre) != nullptr, family.pre);
    check_ends(family, byte_level(family.pre));
  }
}

TEST_CASE("end of generation: SentencePiece families have theirs") {
  const std::vector<Family> families = {
      {"mixtral", "", "</s>", {}, {"[INST]", "[/INST]"}},
      {"phi-3",
       "",
       "<|endoftext|>",
       {"</s>", "<|end|>", "<|assistant|>"},
       {"<|user|>", "<|system|>", "<|placeholder1|>"}},
      {"ernie4_5", "", "</s>", {"<|end_of_sentence|>"}, {"<|begin_of_sentence|>", "<mask:1>"}},
      {"gemma", "", "<eos>", {"</s>", "<end_of_turn>"}, {"<start_of_turn>"}},
  };
  for (const Family& family : families) {
    CAPTURE(family.name);
    VocabularyBuilder vocabulary = sentencepiece();  // has </s>
    for (const Texts* texts : {&family.others, &family.no_ends}) {
      for (const std::string& text : *texts) {
        if (text != "</s>") vocabulary.add(text, kControl);
      }
    }
    if (family.eos != "</s>") vocabulary.add(family.eos, kControl);
    Texts expected = family.others;
    expected.insert(family.eos);
    CHECK(ends_of(*created(vocabulary.file())) == expected);
  }
  CHECK(ends_of(*created(unigram().file())) == Texts{"</s>"});
}

TEST_CASE("end of generation: <|end|> is none where a message's end is not the answer's") {
  struct Pair {
    const char *first, *second;
  };
  for (const auto& [first, second] :
       {Pair{"<|return|>", "<|call|>"}, Pair{"<|flush|>", "<|calls|>"}}) {
    VocabularyBuilder vocabulary = byte_level();
    const TokenId end = vocabulary.add("<|end|>", kControl);
    vocabulary.add(first, kControl);
    CHECK(created(vocabulary.file())->is_end_of_generation(end));  // one alone is no such format
    vocabulary.add(second, kControl);
    GgufBuilder file = vocabulary.file();
    CHECK_FALSE(created(file)->is_end_of_generation(end));
    for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
      file.keys.push_back(key_u32(key, static_cast<uint32_t>(end)));
      CHECK_FALSE(created(file)->is_end_of_generation(end));
    }
  }
}

TEST_CASE("end of generation: roles end an answer in their own families only") {
  VocabularyBuilder vocabulary = byte_level("glm4");
  const TokenId user = vocabulary.add("<|user|>", kControl);
  const TokenId assistant = vocabulary.add("<|assistant|>", kControl);
  vocabulary.add("<sop>", kControl);
  CHECK_FALSE(created(vocabulary.file())->is_end_of_generation(user));
  vocabulary.add("[gMASK]", kControl);
  CHECK(created(vocabulary.file())->is_end_of_generation(user));
  CHECK_FALSE(created(vocabulary.file())->is_end_of_generation(assistant));
}

// Vocabularies as they are published.
TEST_CASE("end of generation: published vocabularies") {
  const std::string folder = LARDER_SHARED_DIR "/tokenizers/";
  if (!std::filesystem::exists(folder + "README.md")) {
    MESSAGE("no reference data in " << folder);
    return;
  }
  struct Published {
    std::string family;
    Texts ends;
  };
  // This llama-3.1 is an early one, in which <|eom_id|> is still a reserved token.
  const std::vector<Published> published = {
      {"llama-3.1", {"<|eot_id|>", "<|end_of_text|>"}},
      {"qwen3", {"<|im_end|>", "<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"}},
      {"gpt-oss", {"<|return|>", "<|call|>", "<|endoftext|>"}},
      {"deepseek-llm", {kDeepseekEnd}},
      {"deepseek-v3", {kDeepseekEnd}},
      {"phi-3", {"<|endoftext|>", "<|end|>", "<|assistant|>", "</s>"}},
      {"mixtral", {"</s>"}},
      {"olmoe", {"<|endoftext|>"}},
      {"t5", {"</s>"}},
  };
  for (const Published& one : published) {
    CAPTURE(one.family);
    const auto file = GgufFile::open(folder + one.family + "/vocab.gguf");
    REQUIRE_MESSAGE(file.ok(), file.status().to_string());
    const auto tokenizer = Tokenizer::create(**file);
    REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().to_string());
    CHECK(ends_of(**tokenizer) == one.ends);
  }
}

}  // namespace
}  // namespace larder::formats
