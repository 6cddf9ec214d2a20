// tokenizer.json as tables.
#include <algorithm>
#include <cmath>
#include <new>
#include <unordered_map>
#include <utility>

#include "formats/json/json.h"
#include "formats/tokenizer_files/published_rules.h"
#include "formats/tokenizer_files/vocabulary_tables.h"

namespace larder::formats {
namespace {

using Kind = DataValue::Kind;

constexpr int64_t kMaxTokens = int64_t{1} << 22;  // vocabularies in the wild have 2^18
constexpr std::string_view kSpaceMark = "\u2581";

Status refuse(std::string_view part, std::string why) {
  return Status(Cause::vocabulary, std::move(why), "key " + std::string(part));
}

std::string text_at(const DataValue* value, std::string_view key) {
  const DataValue* const text = value != nullptr ? value->find(key) : nullptr;
  return text != nullptr ? text->string : std::string();
}

bool flag_at(const DataValue* value, std::string_view key) {
  const DataValue* const flag = value != nullptr ? value->find(key) : nullptr;
  return flag != nullptr && flag->boolean;
}

// The parts of a Sequence, or the one that it is.
std::vector<const DataValue*> parts_of(const DataValue* value, std::string_view list_key) {
  if (value == nullptr || value->kind != Kind::dict) return {};
  const DataValue* const list = value->find(list_key);
  if (list == nullptr) return {value};
  std::vector<const DataValue*> parts;
  for (const DataValue& part : list->list) parts.push_back(&part);
  return parts;
}

// What llama.cpp's converter takes for control tokens though files do not mark them so.
bool looks_special(std::string_view text) {
  const auto is_between = [&](std::string_view begin, std::string_view end) {
    return text.starts_with(begin) && text.ends_with(end);
  };
  return is_between("<|", "|>") || is_between("<\uFF5C", "\uFF5C>") || text == "<pad>" ||
         text == "<mask>";
}

bool is_byte_token(std::string_view text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
}

class JsonTables {
 public:
  JsonTables(const DataValue& root, std::string_view pre)
      : root_(root), model_(root.find("model")), preferred_(pre) {}

  Result<VocabularyTables> read();

 private:
  Status read_byte_level();
  Status read_byte_fallback();
  Status read_unigram();
  Status read_vocabulary();
  Status read_merges();
  Status read_added_tokens();
  Status place(int64_t id, const std::string& text, TokenType type);
  void read_template();
  void score_by_merges();

  const DataValue& root_;
  const DataValue* model_;
  std::string_view preferred_;
  VocabularyTables tables_;
};

Status JsonTables::place(int64_t id, const std::string& text, TokenType type) {
  if (id < 0 || id >= kMaxTokens) return refuse("vocab", "token " + std::to_string(id));
  const auto at = static_cast<size_t>(id);
  tables_.pad(at + 1);
  tables_.tokens[at] = text;
  tables_.types[at] = type;
  return {};
}

Status JsonTables::read_vocabulary() {
  const DataValue* const vocabulary = model_->find("vocab");
  if (vocabulary == nullptr || vocabulary->kind != Kind::dict)
    return refuse("model.vocab", "expected an object");
  for (const auto& [text, id] : vocabulary->dict) {
    if (id.kind != Kind::integer) return refuse("model.vocab", "an id is no number");
    if (Status s = place(id.integer, text, TokenType::normal); !s.ok()) return s;
  }
  return {};
}

// "a b", or ["a", "b"].
Status JsonTables::read_merges() {
  const DataValue* const merges = model_->find("merges");
  if (merges == nullptr || merges->kind != Kind::list)
    return Status(Cause::merges, "expected a list", "key model.merges");
  for (const DataValue& merge : merges->list) {
    const bool is_pair = merge.kind == Kind::list && merge.list.size() == 2;
    std::string text = is_pair ? merge.list[0].string + " " + merge.list[1].string : merge.string;
    const size_t space = text.find(' ', 1);
    if (space == std::string::npos || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string::npos)
      return Status(Cause::merges, "not two texts: " + to_json(merge), "key model.merges");
    tables_.merges.push_back(std::move(text));
  }
  return {};
}

Status JsonTables::read_added_tokens() {
  const DataValue* const added = root_.find("added_tokens");
  if (added == nullptr) return {};
  for (const DataValue& token : added->list) {
    const std::string text = text_at(&token, "content");
    const DataValue* const id = token.find("id");
    if (id == nullptr || id->kind != Kind::integer || text.empty())
      return refuse("added_tokens", "a token without id or content");
    const bool is_control = flag_at(&token, "special") || looks_special(text);
    if (Status s =
            place(id->integer, text, is_control ? TokenType::control : TokenType::user_defined);
        !s.ok())
      return s;
  }
  return {};
}

// Which special tokens stand before and behind a text.
void JsonTables::read_template() {
  for (const DataValue* part : parts_of(root_.find("post_processor"), "processors")) {
    const DataValue* const single = part->find("single");
    if (text_at(part, "type") != "TemplateProcessing" || single == nullptr || single->list.empty())
      continue;
    tables_.puts_bos = single->list.front().find("SpecialToken") != nullptr;
    tables_.puts_eos = single->list.back().find("SpecialToken") != nullptr;
  }
}

Status JsonTables::read_byte_level() {
  tables_.model = "gpt2";
  PretokenizerTraits traits;
  traits.ignores_merges = flag_at(model_, "ignore_merges");
  for (const DataValue* part : parts_of(root_.find("normalizer"), "normalizers")) {
    if (text_at(part, "type") != "NFC")
      return refuse("normalizer", "is not supported: " + to_json(*part));
    traits.normalizes_nfc = true;
  }
  const Result<std::string> description = describe_pretokenizer(root_.find("pre_tokenizer"));
  if (!description) return description.status();
  const auto rule = find_published_rule(*description, traits, preferred_);
  if (!rule) return rule.status();
  tables_.pre = *rule;
  if (Status s = read_vocabulary(); !s.ok()) return s;
  return read_merges();
}

// A piece's score is the rank of the first merge that makes it, so that the order of merging is
// that of SentencePiece.
void JsonTables::score_by_merges() {
  std::unordered_map<std::string, size_t> ids;
  for (size_t id = 0; id < tables_.tokens.size(); ++id) ids.emplace(tables_.tokens[id], id);
  tables_.scores.assign(tables_.tokens.size(), 0);
  const auto n = static_cast<float>(tables_.merges.size());
  for (float& score : tables_.scores) score = -n - 1;
  for (size_t rank = tables_.merges.size(); rank-- > 0;) {
    std::string piece = tables_.merges[rank];
    piece.erase(piece.find(' ', 1), 1);
    const auto found = ids.find(piece);
    if (found != ids.end()) tables_.scores[found->second] = -static_cast<float>(rank);
  }
  tables_.merges.clear();
}

Status JsonTables::read_byte_fallback() {
  tables_.model = "llama";
  tables_.adds_space_prefix = false;
  for (const DataValue* part : parts_of(root_.find("normalizer"), "normalizers")) {
    const std::string type = text_at(part, "type");
    const DataValue* const pattern = part->find("pattern");
    if (type == "Prepend" && text_at(part, "prepend") == kSpaceMark)
      tables_.adds_space_prefix = true;
    else if (type != "Replace" || text_at(pattern, "String") != " " ||
             text_at(part, "content") != kSpaceMark)
      return refuse("normalizer", "is not supported: " + to_json(*part));
  }
  for (const DataValue* part : parts_of(root_.find("pre_tokenizer"), "pretokenizers")) {
    if (text_at(part, "type") != "Metaspace" || text_at(part, "replacement") != kSpaceMark ||
        flag_at(part, "split"))
      return refuse("pre_tokenizer", "is not supported: " + to_json(*part));
    tables_.adds_space_prefix =
        text_at(part, "prepend_scheme") != "never" || flag_at(part, "add_prefix_space");
  }
  if (Status s = read_vocabulary(); !s.ok()) return s;
  if (Status s = read_merges(); !s.ok()) return s;
  score_by_merges();
  for (size_t id = 0; id < tables_.tokens.size(); ++id)
    if (is_byte_token(tables_.tokens[id])) tables_.types[id] = TokenType::byte;
  const int64_t unknown = tables_.find(text_at(model_, "unk_token"));
  if (unknown >= 0) tables_.types[static_cast<size_t>(unknown)] = TokenType::unknown;
  return {};
}

Result<std::string> decode_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) return refuse("precompiled_charsmap", "is no base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    out += static_cast<char>(bits >> n_bits & 0xff);
  }
  return out;
}

Status JsonTables::read_unigram() {
  tables_.model = "t5";
  for (const DataValue* part : parts_of(root_.find("normalizer"), "normalizers")) {
    const std::string type = text_at(part, "type");
    if (type == "Precompiled") {
      Result<std::string> map = decode_base64(text_at(part, "precompiled_charsmap"));
      if (!map) return map.status();
      tables_.charsmap = std::move(*map);
    } else if (type != "Strip" && type != "Replace") {
      return refuse("normalizer", "is not supported: " + to_json(*part));
    }
  }
  for (const DataValue* part : parts_of(root_.find("pre_tokenizer"), "pretokenizers")) {
    const std::string type = text_at(part, "type");
    if (type != "WhitespaceSplit" && type != "Metaspace")
      return refuse("pre_tokenizer", "is not supported: " + to_json(*part));
  }
  tables_.removes_extra_spaces = true;
  const DataValue* const vocabulary = model_->find("vocab");
  if (vocabulary == nullptr || vocabulary->kind != Kind::list)
    return refuse("model.vocab", "expected a list");
  for (const DataValue& piece : vocabulary->list) {
    if (piece.kind != Kind::list || piece.list.size() != 2 || piece.list[0].kind != Kind::string)
      return refuse("model.vocab", "expected pieces with their scores");
    const DataValue& score = piece.list[1];
    const auto id = static_cast<int64_t>(tables_.tokens.size());
    if (Status s = place(id, piece.list[0].string, TokenType::normal); !s.ok()) return s;
    tables_.scores.resize(tables_.tokens.size());
    tables_.scores.back() = static_cast<float>(
        score.kind == Kind::integer ? static_cast<double>(score.integer) : score.real);
  }
  const DataValue* const unknown = model_->find("unk_id");
  if (unknown != nullptr && unknown->kind == Kind::integer && unknown->integer >= 0 &&
      unknown->integer < static_cast<int64_t>(tables_.types.size()))
    tables_.types[static_cast<size_t>(unknown->integer)] = TokenType::unknown;
  return {};
}

Result<VocabularyTables> JsonTables::read() {
  if (model_ == nullptr) return refuse("model", "absent");
  const std::string type = text_at(model_, "type");
  const DataValue* const vocabulary = model_->find("vocab");
  const bool is_list = vocabulary != nullptr && vocabulary->kind == Kind::list;
  const bool is_unigram = type == "Unigram" || (type.empty() && is_list);
  if (!is_unigram && type != "BPE" && !type.empty())
    return refuse("model.type", "is not supported: " + type);
  const Status status = is_unigram                         ? read_unigram()
                        : flag_at(model_, "byte_fallback") ? read_byte_fallback()
                                                           : read_byte_level();
  if (!status.ok()) return status;
  const TokenType unknown_type = TokenType::unknown;
  const auto unknown =
      std::find(tables_.types.begin(), tables_.types.end(), unknown_type) - tables_.types.begin();
  if (Status s = read_added_tokens(); !s.ok()) return s;
  if (unknown < static_cast<int64_t>(tables_.types.size()) && tables_.model == "t5")
    tables_.types[static_cast<size_t>(unknown)] = unknown_type;
  read_template();
  return std::move(tables_);
}

}  // namespace

Result<VocabularyTables> read_tokenizer_json(std::string_view json, std::string_view pre) try {
  const Result<DataValue> root = parse_json(json);
  if (!root) return root.status();
  return JsonTables(*root, pre).read();
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::formats
