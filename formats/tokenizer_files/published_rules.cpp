#include "formats/tokenizer_files/published_rules.h"

#include <algorithm>
#include <vector>

#include "formats/json/json.h"
#include "formats/text/pretokenizer.h"

namespace larder::formats {
namespace {

// Source: the families' tokenizer.json files, 2026-08.
constexpr std::string_view kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s"
    "\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L"
    "}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kQwen35 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^"
    "\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kGpt4o =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{"
    "Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}"
    "\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'"
    "d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kBailing =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N"
    "}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
constexpr std::string_view kDeepseekV3 =
    "\\p{N}{1,3}"
    "\n"
    "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"
    "\n"
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{"
    "S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kDeepseekLlm =
    "[\\r\\n]"
    "\n"
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-"
    "\u0293\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-"
    "\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556"
    "\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B"
    "\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D"
    "\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE"
    "\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
    "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128"
    "\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184"
    "\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B"
    "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17"
    "\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8"
    "-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF"
    "\U0001E900-\U0001E943]+"
    "\n"
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+"
    "\n"
    "\\s+$"
    "\n"
    "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
    "\n"
    "digits";

// The rules that a text of tokenizer.json has, in order of preference.
struct PublishedRule {
  std::string_view description;
  std::string_view names[8];
};
constexpr PublishedRule kRules[] = {
    {kLlama3, {"llama-bpe", "lfm2", "glm4", "dbrx"}},
    {kQwen2, {"qwen2", "hunyuan", "bailingmoe2"}},
    {kQwen35, {"qwen35"}},
    {kGpt4o, {"gpt-4o", "llama4", "minimax-m2"}},
    {kBailing, {"bailingmoe2"}},
    {kDeepseekV3, {"deepseek-v3"}},
    {kDeepseekLlm, {"deepseek-llm"}},
    {"words", {"gpt-2", "olmo"}},
    {"digit\nwords", {"starcoder", "refact"}},
};

bool is_true(const DataValue& value, std::string_view key) {
  const DataValue* const flag = value.find(key);
  return flag != nullptr && flag->boolean;
}

std::string text_at(const DataValue& value, std::string_view key) {
  const DataValue* const text = value.find(key);
  return text != nullptr ? text->string : std::string();
}

Status refuse(const DataValue& part) {
  return Status(Cause::vocabulary, "is not supported: " + to_json(part), "key pre_tokenizer");
}

// Files spell newlines as themselves or escaped.
std::string escaped_newlines(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
  return out;
}

// Error, or the rule; empty for what splits nothing.
Result<std::string> describe_part(const DataValue& part) {
  const std::string type = text_at(part, "type");
  if (type == "ByteLevel") {
    if (is_true(part, "add_prefix_space")) return refuse(part);
    return std::string(is_true(part, "use_regex") ? "words" : "");
  }
  if (type == "Digits") return std::string(is_true(part, "individual_digits") ? "digit" : "digits");
  const DataValue* const pattern = part.find("pattern");
  if (type != "Split" || pattern == nullptr || pattern->find("Regex") == nullptr ||
      is_true(part, "invert"))
    return refuse(part);
  const std::string behavior = text_at(part, "behavior");
  if (behavior != "Isolated") return refuse(part);
  return escaped_newlines(text_at(*pattern, "Regex"));
}

}  // namespace

Result<std::string> describe_pretokenizer(const DataValue* pretokenizer) {
  if (pretokenizer == nullptr || pretokenizer->kind != DataValue::Kind::dict) return std::string();
  const DataValue* const sequence = pretokenizer->find("pretokenizers");
  std::vector<const DataValue*> parts;
  if (sequence == nullptr) parts.push_back(pretokenizer);
  if (sequence != nullptr)
    for (const DataValue& part : sequence->list) parts.push_back(&part);
  std::string description;
  for (const DataValue* part : parts) {
    const Result<std::string> rule = describe_part(*part);
    if (!rule) return rule.status();
    if (!rule->empty()) description += (description.empty() ? "" : "\n") + *rule;
  }
  return description;
}

Result<std::string_view> find_published_rule(const std::string& description,
                                             const PretokenizerTraits& traits,
                                             std::string_view preferred) {
  const auto fits = [&](std::string_view name) {
    const PretokenizerRule* const rule = find_pretokenizer_rule(name);
    return rule != nullptr && rule->normalizes_nfc == traits.normalizes_nfc &&
           rule->ignores_merges == traits.ignores_merges;
  };
  std::string_view found;
  for (const PublishedRule& rule : kRules) {
    if (rule.description != description) continue;
    for (const std::string_view name : rule.names)
      if (!name.empty() && fits(name) && (found.empty() || name == preferred)) found = name;
  }
  if (!found.empty()) return found;
  return Status(Cause::vocabulary,
                "no known rule splits so, " +
                    std::string(traits.normalizes_nfc ? "with" : "without") +
                    " normalisation to NFC and " + (traits.ignores_merges ? "with" : "without") +
                    " ignore_merges: " + description,
                "key pre_tokenizer");
}

}  // namespace larder::formats
