#include "runtime/session/thinking_style.h"

#include <algorithm>

namespace larder::runtime {
namespace {

using formats::DataValue;

bool contains(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}

// Source: the published chat templates of these model families, 2026-08.
const std::vector<ThinkingStyle>& known_styles() {
  static const std::vector<ThinkingStyle> styles = {
      // DeepSeek, Qwen, GLM, Kimi K2, MiniMax M1 and M2, Nemotron, Ling, ...
      {"</think>", "<think>", "</think>"},
      {"</seed:think>", "<seed:think>", "</seed:think>"},  // Seed-OSS
      {"</mm:think>", "<mm:think>", "</mm:think>"},        // MiniMax M3
      {"[/THINK]", "[THINK]", "[/THINK]"},                 // Magistral, Ministral
      // Beside <think>: Granite 3.3 and ERNIE 4.5, Hunyuan A13B
      {"<response></response>", "", "", false, {}, "<response>", "</response>"},
      {"<response>\\n", "", "", false, {}, "<response>", "</response>"},
      {"</answer>", "", "", false, {}, "<answer>", "</answer>"},
      {"<|inner_suffix|>", "<|inner_prefix|>", "<|inner_suffix|>", true},  // Apertus
      {"<channel|>", "<|channel>thought", "<channel|>", true},             // Gemma 4
      {"<|END_THINKING|>",                                                 // Command
       "<|START_THINKING|>",
       "<|END_THINKING|>",
       true,
       {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"}},
      {"open_tag('think'",  // Kimi K3
       "<|open|>think<|sep|>",
       "<|close|>think<|sep|>",
       true,
       {"<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"}},
      {"<|channel|>analysis", "", "", true, {}, {}, {}, true},  // gpt-oss
      {"<|think|><|end|>",                                      // Solar Open
       "<|think|>",
       "<|end|>",
       true,
       {"<|begin|>assistant", "<|content|>"}},
      {"[BEGIN FINAL RESPONSE]",  // Apriel
       "Here are my reasoning steps:",
       "[BEGIN FINAL RESPONSE]",
       false,
       {},
       {},
       "[END FINAL RESPONSE]"},
  };
  return styles;
}

// One way to tell a template. An empty value is not passed.
struct ThinkingSwitch {
  std::string_view sign;  // a template that contains this understands it
  std::string_view variable;
  DataValue on, off;
  bool takes_level = false;
};

// Source: the published chat templates of these model families, 2026-08.
const std::vector<ThinkingSwitch>& known_switches() {
  static const std::vector<ThinkingSwitch> switches = {
      {"enable_thinking", "enable_thinking", true, false},
      {"not thinking is defined", "thinking", true, false},  // DeepSeek V3.1 and later
      {"thinking is undefined", "thinking", true, false},    // Kimi K3
      {"elif thinking %}", "thinking", true, false},         // Granite 3.3
      {"thinking_mode is defined", "thinking_mode", "enabled", "disabled"},
      {"thinking_budget", "thinking_budget", {}, 0},                   // Seed-OSS
      {"'no_think'", "reasoning_effort", "high", "no_think", true},    // Hy3
      {"== \"none\"", "reasoning_effort", "high", "none", true},       // Command
      {"\"minimal\"", "reasoning_effort", "high", "minimal", true},    // Solar Open
      {"\"Reasoning: \"", "reasoning_effort", "medium", "low", true},  // gpt-oss
      {"reasoning_effort ==", "reasoning_effort", {}, {}, true},       // DeepSeek V4
      {"reasoning_strength", "reasoning_strength", {}, {}, true},
      {"thinking_effort", "thinking_effort", {}, {}, true},
  };
  return switches;
}

}  // namespace

std::vector<ThinkingStyle> thinking_styles(std::string_view template_source) {
  std::vector<ThinkingStyle> used;
  for (const ThinkingStyle& style : known_styles()) {
    if (contains(template_source, style.sign)) used.push_back(style);
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
    for (const std::string_view mark :
         {style.opens, style.closes, style.opens_answer, style.closes_answer}) {
      add(mark);
    }
    for (const std::string_view mark : style.dropped) add(mark);
    if (!style.has_channels) continue;
    for (const std::string_view mark : {harmony::kStart, harmony::kChannel, harmony::kMessage,
                                        harmony::kEnd, harmony::kReturn, harmony::kCall}) {
      add(mark);
    }
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

std::string_view thinking_field(std::string_view template_source) noexcept {
  // Most read this one, and many of them others as well.
  constexpr std::string_view kUsual = "reasoning_content";
  if (contains(template_source, kUsual)) return kUsual;
  struct Row {
    std::string_view sign, field;
  };
  for (const Row& row : {Row{"message.reasoning", "reasoning"}, Row{"['reasoning']", "reasoning"},
                         Row{"message.thinking", "thinking"}, Row{"['thinking']", "thinking"},
                         Row{"['thought']", "thought"}}) {
    if (contains(template_source, row.sign)) return row.field;
  }
  return kUsual;
}

std::vector<DataValue::Member> thinking_variables(std::string_view template_source,
                                                  std::string_view wish) {
  std::vector<DataValue::Member> variables;
  const bool is_level = wish != "on" && wish != "off";
  bool has_level = false;
  const auto set = [&](std::string_view name, const DataValue& value) {
    const bool is_set = std::any_of(variables.begin(), variables.end(),
                                    [&](const auto& member) { return member.first == name; });
    if (!is_set && value.kind != DataValue::Kind::null) variables.emplace_back(name, value);
  };
  for (const ThinkingSwitch& row : known_switches()) {
    if (!contains(template_source, row.sign)) continue;
    if (is_level && row.takes_level) {
      set(row.variable, wish);
      has_level = true;
    } else {
      set(row.variable, wish == "off" ? row.off : row.on);
    }
  }
  if (is_level && !has_level) return {};
  return variables;
}

}  // namespace larder::runtime
