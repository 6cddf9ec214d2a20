#include "formats/text/pretokenizer.h"

#include <algorithm>

#include "formats/text/pretokenizer_scanners.h"

namespace larder::formats {

namespace {

using namespace scanners;

// The words of the families, as their tokenizer.json files publish them (2026-08):
// C is (?i:'s|'t|'re|'ve|'m|'ll|'d).
//   llama3 C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   qwen2  the same with single digits; qwen35 the same with marks among the letters
//   gpt4o  runs of upper, then lower case; C only after a word; "/" among the newlines
//   gpt2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
constexpr FindPiece kLlama3[] = {find_llama3};
constexpr FindPiece kQwen2[] = {find_qwen2};
constexpr FindPiece kQwen35[] = {find_qwen35};
constexpr FindPiece kGpt4o[] = {find_gpt4o};
constexpr FindPiece kGpt2[] = {find_gpt2};
constexpr FindPiece kStarcoder[] = {find_digit, find_gpt2};
constexpr FindPiece kDeepseekV3[] = {find_three_digits, find_cjk, find_deepseek_v3};
constexpr FindPiece kDeepseekLlm[] = {find_newline,         find_deepseek_letters,
                                      find_deepseek_signs,  find_trailing_space,
                                      find_deepseek_script, find_digits};

// bailingmoe publishes \s*[\r\n] instead of \s*[\r\n]+: both end at the last newline of the run.
constexpr PretokenizerRule kRules[] = {
    {.name = "llama-bpe", .passes = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama3", .passes = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama-v3", .passes = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "lfm2", .passes = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "glm4", .passes = kLlama3},
    {.name = "chatglm-bpe", .passes = kLlama3},
    {.name = "dbrx", .passes = kLlama3},
    {.name = "qwen2", .passes = kQwen2, .normalizes_nfc = true},
    {.name = "hunyuan", .passes = kQwen2, .normalizes_nfc = true},
    {.name = "qwen35", .passes = kQwen35, .normalizes_nfc = true},
    {.name = "bailingmoe", .passes = kQwen2},
    {.name = "bailingmoe2", .passes = kQwen2},
    {.name = "gpt-4o", .passes = kGpt4o, .ignores_merges = true},
    {.name = "llama4", .passes = kGpt4o, .ignores_merges = true},
    {.name = "minimax-m2", .passes = kGpt4o},
    {.name = "gpt-2", .passes = kGpt2},
    {.name = "olmo", .passes = kGpt2, .normalizes_nfc = true},
    {.name = "refact", .passes = kStarcoder},
    {.name = "starcoder", .passes = kStarcoder},
    {.name = "deepseek-llm", .passes = kDeepseekLlm},
    {.name = "deepseek-v3", .passes = kDeepseekV3},
};

}  // namespace

std::span<const PretokenizerRule> pretokenizer_rules() noexcept { return kRules; }

const PretokenizerRule* find_pretokenizer_rule(std::string_view name) noexcept {
  const auto* const found = std::find_if(std::begin(kRules), std::end(kRules),
                                         [&](const auto& rule) { return rule.name == name; });
  return found == std::end(kRules) ? nullptr : found;
}

std::string_view PieceCursor::next() noexcept {
  size_t limit = text_.size();
  for (size_t i = 0; i < passes_.size(); ++i) {
    Segment& segment = segments_[i];
    if (segment.end == at_) {
      if (segment.next_end > at_) {
        segment.end = segment.next_end;
      } else {
        const ByteRange match = passes_[i](text_.substr(0, limit), at_);
        segment.end = match.begin > at_ ? match.begin : match.end;
        segment.next_end = match.begin > at_ ? match.end : 0;
      }
    }
    limit = segment.end;
  }
  const std::string_view piece = text_.substr(at_, limit - at_);
  at_ = limit;
  return piece;
}

}  // namespace larder::formats
