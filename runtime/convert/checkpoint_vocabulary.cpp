#include "runtime/convert/checkpoint_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "formats/tokenizer_files/vocabulary_tables.h"
#include "runtime/convert/checkpoint_text.h"

namespace larder::runtime {
namespace {

using formats::DataValue;
using formats::GgufType;
using formats::GgufWriter;
using formats::VocabularyTables;
using Kind = DataValue::Kind;

// A file that need not be there.
Result<DataValue> read_optional(const std::string& path) {
  if (!is_readable(path)) return DataValue();
  return read_json_file(path);
}

Result<VocabularyTables> read_tables(const std::string& folder, std::string_view pre) {
  // SentencePiece's own file has the scores that tokenizer.json lacks.
  for (const char* name : {"/tokenizer.model", "/spiece.model"}) {
    const std::string path = folder + name;
    if (!is_readable(path)) continue;
    const Result<std::string> bytes = read_small_file(path);
    if (!bytes) return bytes.status();
    Result<VocabularyTables> tables = formats::read_sentencepiece(*bytes);
    return tables ? std::move(tables) : tables.status().with_file(path);
  }
  const std::string path = folder + "/tokenizer.json";
  if (!is_readable(path))
    return Status(Cause::missing, "there is neither tokenizer.json nor tokenizer.model")
        .with_file(folder);
  const Result<std::string> json = read_small_file(path);
  if (!json) return json.status();
  Result<VocabularyTables> tables = formats::read_tokenizer_json(*json, pre);
  return tables ? std::move(tables) : tables.status().with_file(path);
}

// Tokens that only tokenizer_config.json adds to a SentencePiece model.
void add_tokens(const DataValue& config, size_t n_vocab, VocabularyTables& tables) {
  const DataValue* const added = config.find("added_tokens_decoder");
  if (added == nullptr || tables.model == "gpt2") return;
  tables.pad(n_vocab);
  for (const auto& [id_text, token] : added->dict) {
    const DataValue* const content = token.find("content");
    const DataValue* const special = token.find("special");
    const size_t id = std::strtoul(id_text.c_str(), nullptr, 10);
    if (content == nullptr || id >= tables.tokens.size()) continue;
    tables.tokens[id] = content->string;
    tables.types[id] = special != nullptr && special->boolean ? formats::TokenType::control
                                                              : formats::TokenType::user_defined;
  }
}

class TokenKeys {
 public:
  TokenKeys(const DataValue& tokenizer, const DataValue& special, const DataValue& config,
            const VocabularyTables& tables, GgufWriter& out)
      : tokenizer_(tokenizer), special_(special), config_(config), tables_(tables), out_(out) {}

  // By its text in the tokenizer's files, else by its number in the model's.
  int64_t find(const std::string& role) const {
    for (const DataValue* file : {&tokenizer_, &special_}) {
      const DataValue* token = file->find(role + "_token");
      if (token != nullptr && token->kind == Kind::dict) token = token->find("content");
      if (token == nullptr || token->kind != Kind::string) continue;
      if (const int64_t id = tables_.find(token->string); id >= 0) return id;
    }
    const DataValue* id = config_.find(role + "_token_id");
    if (id != nullptr && id->kind == Kind::list && !id->list.empty()) id = &id->list.front();
    return id != nullptr && id->kind == Kind::integer && is_token(id->integer) ? id->integer : -1;
  }

  void write(const std::string& role, const char* key) {
    const int64_t id = find(role);
    if (id >= 0) out_.set_integer("tokenizer.ggml." + std::string(key), GgufType::u32, id);
  }

  void write_flag(const char* config_key, const char* key, bool by_template) {
    const DataValue* const flag = tokenizer_.find(config_key);
    const bool is_said = flag != nullptr && flag->kind == Kind::boolean;
    out_.set_bool("tokenizer.ggml." + std::string(key), is_said ? flag->boolean : by_template);
  }

  // What ends a generation beside the one end of a text.
  void write_ends(const DataValue& generation) {
    std::vector<int64_t> ids;
    for (const DataValue* file : {&generation, &config_}) {
      const DataValue* const ends = file->find("eos_token_id");
      if (ends == nullptr || ends->kind != Kind::list) continue;
      for (const DataValue& id : ends->list)
        if (id.kind == Kind::integer && is_token(id.integer) &&
            std::find(ids.begin(), ids.end(), id.integer) == ids.end())
          ids.push_back(id.integer);
    }
    if (ids.size() > 1) out_.set_integers("tokenizer.ggml.eos_token_ids", GgufType::i32, ids);
  }

 private:
  bool is_token(int64_t id) const {
    return id >= 0 && id < static_cast<int64_t>(tables_.tokens.size());
  }

  const DataValue &tokenizer_, &special_, &config_;
  const VocabularyTables& tables_;
  GgufWriter& out_;
};

// A file of its own wins; several templates are a list of names.
Status write_templates(const std::string& folder, const DataValue& tokenizer, GgufWriter& out) {
  const std::string path = folder + "/chat_template.jinja";
  if (is_readable(path)) {
    const Result<std::string> text = read_small_file(path);
    if (!text) return text.status();
    out.set_string("tokenizer.chat_template", *text);
    return {};
  }
  const DataValue* const templates = tokenizer.find("chat_template");
  if (templates == nullptr) return {};
  if (templates->kind == Kind::string) out.set_string("tokenizer.chat_template", templates->string);
  std::vector<std::string_view> names;
  for (const DataValue& item : templates->list) {
    const DataValue *const name = item.find("name"), *const text = item.find("template");
    if (name == nullptr || text == nullptr) continue;
    const bool is_default = name->string == "default";
    out.set_string("tokenizer.chat_template" + (is_default ? "" : "." + name->string),
                   text->string);
    if (!is_default) names.push_back(name->string);
  }
  if (!names.empty()) out.set_strings("tokenizer.chat_templates", names);
  return {};
}

void write_sampling(const DataValue& generation, GgufWriter& out) {
  const DataValue* const samples = generation.find("do_sample");
  if (samples == nullptr || !samples->boolean) return;
  constexpr std::pair<const char*, const char*> kReals[] = {
      {"temperature", "temp"},
      {"top_p", "top_p"},
      {"min_p", "min_p"},
      {"repetition_penalty", "penalty_repeat"}};
  for (const auto& [name, key] : kReals) {
    const DataValue* const value = generation.find(name);
    if (value == nullptr || (value->kind != Kind::real && value->kind != Kind::integer)) continue;
    const double real =
        value->kind == Kind::real ? value->real : static_cast<double>(value->integer);
    out.set_float("general.sampling." + std::string(key), GgufType::f32, real);
  }
  const DataValue* const top_k = generation.find("top_k");
  if (top_k != nullptr && top_k->kind == Kind::integer && top_k->integer >= 0 &&
      top_k->integer <= INT32_MAX)
    out.set_integer("general.sampling.top_k", GgufType::i32, top_k->integer);
}

}  // namespace

Status write_vocabulary(const std::string& folder, const DataValue& config, std::string_view pre,
                        uint64_t n_vocab, GgufWriter& out) {
  const Result<DataValue> tokenizer = read_optional(folder + "/tokenizer_config.json");
  if (!tokenizer) return tokenizer.status();
  const Result<DataValue> special = read_optional(folder + "/special_tokens_map.json");
  if (!special) return special.status();
  const Result<DataValue> generation = read_optional(folder + "/generation_config.json");
  if (!generation) return generation.status();
  Result<VocabularyTables> tables = read_tables(folder, pre);
  if (!tables) return tables.status();
  add_tokens(*tokenizer, n_vocab, *tables);
  if (tables->tokens.size() > n_vocab)
    return Status(Cause::vocabulary, "has " + std::to_string(tables->tokens.size()) +
                                         " tokens, the model's embedding " +
                                         std::to_string(n_vocab) + " rows")
        .with_file(folder);
  tables->pad(n_vocab);
  tables->write(out);
  const DataValue* const text_config = config.find("text_config");
  TokenKeys keys(*tokenizer, *special, text_config != nullptr ? *text_config : config, *tables,
                 out);
  keys.write("bos", "bos_token_id");
  keys.write("eos", "eos_token_id");
  keys.write("unk", "unknown_token_id");
  keys.write("pad", "padding_token_id");
  keys.write_flag("add_bos_token", "add_bos_token", tables->puts_bos && keys.find("bos") >= 0);
  keys.write_flag("add_eos_token", "add_eos_token", tables->puts_eos && keys.find("eos") >= 0);
  keys.write_ends(*generation);
  write_sampling(*generation, out);
  return write_templates(folder, *tokenizer, out);
}

}  // namespace larder::runtime
