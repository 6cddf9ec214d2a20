#include "runtime/session/thinking.h"

#include <algorithm>
#include <utility>

namespace larder::runtime {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// Source: the published chat templates of these model families, 2026-08.
const std::vector<ThinkingStyle>& known_styles() {
  static const std::vector<ThinkingStyle> styles = {
      // DeepSeek, Qwen, GLM, Kimi K2, MiniMax M1 and M2, Nemotron, Granite, ...
      {"</think>", "<think>", "</think>", false, {}},
      {"</seed:think>", "<seed:think>", "</seed:think>", false, {}},  // Seed-OSS
      {"</mm:think>", "<mm:think>", "</mm:think>", false, {}},        // MiniMax M3
      {"[/THINK]", "[THINK]", "[/THINK]", false, {}},                 // Magistral, Ministral
      {"<|inner_suffix|>", "<|inner_prefix|>", "<|inner_suffix|>", true, {}},  // Apertus
      {"<channel|>", "<|channel>thought", "<channel|>", true, {}},             // Gemma 4
      {"<|END_THINKING|>",                                                     // Command
       "<|START_THINKING|>",
       "<|END_THINKING|>",
       true,
       {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"}},
      {"<|channel|>analysis",  // gpt-oss
       "<|channel|>analysis<|message|>",
       "<|end|>",
       true,
       {"<|start|>assistant", "<|channel|>final<|message|>", "<|channel|>commentary<|message|>"}},
      {"<|think|><|end|>",  // Solar Open
       "<|think|>",
       "<|end|>",
       true,
       {"<|begin|>assistant", "<|content|>"}},
      {"[BEGIN FINAL RESPONSE]",  // Apriel
       "Here are my reasoning steps:",
       "[BEGIN FINAL RESPONSE]",
       false,
       {"[END FINAL RESPONSE]"}},
  };
  return styles;
}

}  // namespace

std::vector<ThinkingStyle> thinking_styles(std::string_view template_source) {
  std::vector<ThinkingStyle> used;
  for (const ThinkingStyle& style : known_styles()) {
    if (template_source.find(style.sign) != std::string_view::npos) used.push_back(style);
  }
  return used;
}

std::vector<formats::TokenId> mark_tokens(const std::vector<ThinkingStyle>& styles,
                                          const formats::Tokenizer& tokenizer) {
  std::vector<formats::TokenId> tokens;
  const auto add = [&](std::string_view mark) {
    std::vector<formats::TokenId> ids;
    if (!tokenizer.encode(mark, formats::SpecialTokens::recognised, ids).ok()) return;
    for (const formats::TokenId id : ids) {
      if (tokenizer.type(id) == formats::TokenType::control) tokens.push_back(id);
    }
  };
  for (const ThinkingStyle& style : styles) {
    add(style.opens);
    add(style.closes);
    for (const std::string_view mark : style.dropped) add(mark);
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

bool opens_thinking(const std::vector<ThinkingStyle>& styles, const formats::MarkedText& prompt) {
  const size_t end = prompt.text.find_last_not_of(kBlanks) + 1;  // npos + 1 is 0
  const size_t input_end = prompt.inputs.empty() ? 0 : prompt.inputs.back().end;
  if (input_end >= end) return false;
  const std::string_view own = std::string_view(prompt.text).substr(input_end, end - input_end);
  return std::any_of(styles.begin(), styles.end(),
                     [own](const ThinkingStyle& style) { return own.ends_with(style.opens); });
}

ThinkingSplitter::ThinkingSplitter(const std::vector<ThinkingStyle>& styles, bool begins_thinking,
                                   OnPart on_part)
    : scanner_({}),
      on_part_(std::move(on_part)),
      part_(begins_thinking ? Part::thinking : Part::answer),
      trims_(!styles.empty()) {
  for (const ThinkingStyle& style : styles) {
    add_mark(style.opens, Role::opens, style.is_control);
    add_mark(style.closes, Role::closes, style.is_control);
    for (const std::string_view mark : style.dropped) {
      add_mark(mark, Role::dropped, style.is_control);
    }
  }
  std::vector<std::string> texts;
  for (const Mark& mark : marks_) texts.push_back(mark.text);
  scanner_ = MarkerScanner(std::move(texts));
}

void ThinkingSplitter::add_mark(std::string_view text, Role role, bool is_control) {
  marks_.push_back({std::string(text), role, is_control});
}

// Whether the mark counts here; if so, it has taken effect.
bool ThinkingSplitter::take(const Mark& mark) {
  if (mark.role == Role::closes) {
    if (part_ == Part::answer) return mark.is_control;
    thinking_.erase(thinking_.find_last_not_of(kBlanks) + 1);
    part_ = Part::answer;
    trims_ = true;
    return true;
  }
  if (mark.role == Role::dropped) return true;
  if (part_ == Part::thinking || (!answer_.empty() && !mark.is_control)) return false;
  part_ = Part::thinking;
  trims_ = true;
  return true;
}

Flow ThinkingSplitter::push(std::string_view text) {
  for (MarkerScanner::Found found = scanner_.push(text);; found = scanner_.push("")) {
    if (const Flow flow = show(found.before); flow != Flow::go_on) return flow;
    if (found.marker == MarkerScanner::kNone) return Flow::go_on;
    const Mark& mark = marks_[static_cast<size_t>(found.marker)];
    if (take(mark)) continue;
    if (const Flow flow = show(mark.text); flow != Flow::go_on) return flow;
  }
}

Flow ThinkingSplitter::finish() { return show(scanner_.finish()); }

Flow ThinkingSplitter::show(std::string_view text) {
  if (trims_) text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  if (text.empty()) return Flow::go_on;
  trims_ = false;
  (part_ == Part::thinking ? thinking_ : answer_) += text;
  return on_part_ ? on_part_(part_, text) : Flow::go_on;
}

}  // namespace larder::runtime
