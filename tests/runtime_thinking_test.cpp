// What a model writes, split into thinking, answer and calls.
#include <doctest/doctest.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "formats/template/chat_template.h"
#include "runtime/session/harmony_header.h"
#include "runtime/session/prompt.h"
#include "runtime/session/thinking.h"

namespace {

using larder::formats::ChatTemplate;
using larder::formats::DataValue;
using larder::formats::MarkedText;
using larder::runtime::AnswerPart;
using larder::runtime::Flow;
using larder::runtime::opening;
using larder::runtime::Opening;
using larder::runtime::parse_harmony_header;
using larder::runtime::thinking_styles;
using larder::runtime::thinking_variables;
using larder::runtime::ThinkingSplitter;
using larder::runtime::ThinkingStyle;

// What a splitter makes of a text that comes in pieces of `n` bytes.
struct Split {
  std::string thinking, answer, calls;
  Flow end = Flow::go_on;
};

Split split(const std::vector<ThinkingStyle>& styles, Opening begins, const std::string& text,
            size_t n) {
  Split result;
  ThinkingSplitter splitter(styles, begins, [&](AnswerPart part, std::string_view piece) {
    (part == AnswerPart::thinking ? result.thinking
     : part == AnswerPart::answer ? result.answer
                                  : result.calls) += piece;
    return Flow::go_on;
  });
  for (size_t at = 0; at < text.size() && result.end == Flow::go_on; at += n) {
    result.end = splitter.push(text.substr(at, n));
  }
  splitter.finish();
  CHECK(result.answer == splitter.answer());
  // What was shown may end in blanks that the kept text has not.
  CHECK(result.thinking.starts_with(splitter.thinking()));
  result.thinking = splitter.thinking();
  return result;
}

void check_split(const char* sign, Opening begins, const std::string& text,
                 const std::string& thinking, const std::string& answer,
                 const std::string& calls = {}) {
  const auto styles = thinking_styles(sign);
  for (size_t n = 1; n <= text.size(); ++n) {
    CAPTURE(text);
    CAPTURE(n);
    const Split result = split(styles, begins, text, n);
    CHECK(result.thinking == thinking);
    CHECK(result.answer == answer);
    CHECK(result.calls == calls);
  }
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

const std::string kTemplates = std::string(LARDER_SHARED_DIR) + "/templates/real/";
const char* const kHarmony = "'<|channel|>analysis<|message|>'";

std::string render(const ChatTemplate& chat_template, const std::vector<DataValue::Member>& more) {
  DataValue variables = DataValue::make_dict(
      {{"messages",
        DataValue::make_list({DataValue::make_dict({{"role", "user"}, {"content", "Hi"}})})}});
  larder::runtime::add_variables(variables, more);
  larder::runtime::add_default_variables(variables, nullptr);
  larder::runtime::add_variables(variables, {{"bos_token", ""}, {"eos_token", ""}});
  std::tm now{};
  now.tm_mday = 1;
  const auto rendered = chat_template.render(variables, now);
  return rendered ? rendered->text : "error: " + rendered.status().to_string();
}

}  // namespace

TEST_CASE("thinking: without a style, text passes unchanged") {
  check_split("plain template", Opening::answer, "\n <think>a</think> b ", "",
              "\n <think>a</think> b ");
}

TEST_CASE("thinking: a block at the start is set apart, however the stream is cut") {
  check_split("</think>", Opening::answer, "<think>\nwhy not\n</think>\n\nYes.", "why not", "Yes.");
  check_split("</think>", Opening::answer, "\n<think>a < b</think>Yes.", "a < b", "Yes.");
  check_split("</think>", Opening::answer, "No block at all.", "", "No block at all.");
  check_split("</think>", Opening::answer, "<think></think>Yes.", "", "Yes.");
  check_split("</think>", Opening::answer, "<think>never closed", "never closed", "");
}

TEST_CASE("thinking: a prompt that opens the block itself is continued") {
  check_split("</think>", Opening::thinking, "Hm.\n</think>\n\nYes.", "Hm.", "Yes.");
  check_split("</think>", Opening::thinking, "Hm. <think> is a tag</think>Yes.",
              "Hm. <think> is a tag", "Yes.");
}

TEST_CASE("thinking: an answer may speak of the marks") {
  check_split("</think>", Opening::answer, "Write <think> and </think>.", "",
              "Write <think> and </think>.");
  check_split("</think>", Opening::answer, "<think>x</think>Use <think>y</think>.", "x",
              "Use <think>y</think>.");
}

TEST_CASE("thinking: channels of control tokens, with their frames dropped") {
  check_split(kHarmony, Opening::answer,
              "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant"
              "<|channel|>final<|message|>Forty-two.",
              "Let me see.", "Forty-two.");
  check_split(kHarmony, Opening::answer, "<|channel|>final<|message|>At once.", "", "At once.");
  check_split(kHarmony, Opening::answer,
              "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
              "<|message|>b<|end|><|start|>assistant<|channel|>analysis<|message|>c<|end|>"
              "<|start|>assistant<|channel|>final<|message|>d",
              "a\n\nc", "b\n\nd");
  check_split(kHarmony, Opening::answer, "<|channel|>analysis<|message|>cut off", "cut off", "");
}

TEST_CASE("thinking: the marks of other families") {
  check_split("[/THINK]", Opening::answer, "[THINK]a[/THINK]b", "a", "b");
  check_split("</seed:think>", Opening::answer, "<seed:think>a</seed:think>b", "a", "b");
  check_split("'<channel|>'", Opening::answer, "<|channel>thought\na\n<channel|>b", "a", "b");
  check_split("<|END_THINKING|>", Opening::answer,
              "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "a", "b");
  check_split("[BEGIN FINAL RESPONSE]", Opening::thinking, "a\n[BEGIN FINAL RESPONSE]\nb", "a",
              "b");
}

TEST_CASE("thinking: the callback's wish ends the stream") {
  int n = 0;
  ThinkingSplitter splitter(thinking_styles("</think>"), Opening::answer,
                            [&](AnswerPart, std::string_view) {
                              ++n;
                              return Flow::cancel;
                            });
  CHECK(splitter.push("<think>a</think>b") == Flow::cancel);
  CHECK(n == 1);
}

TEST_CASE("thinking: real templates name their style") {
  if (!std::filesystem::exists(kTemplates)) {
    MESSAGE("skipped: no ", kTemplates);
    return;
  }
  const auto style_of = [](const std::string& name) {
    return thinking_styles(read(kTemplates + name + ".jinja"));
  };
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"Qwen-Qwen3-0.6B", "<think>"},
      {"llama-cpp-deepseek-r1", "<think>"},
      {"GLM-4.6", "<think>"},
      {"MiniMax-M2", "<think>"},
      {"openai-gpt-oss-120b", ""},
      {"Kimi-K3", "<|open|>think<|sep|>"},
      {"google-gemma-4-31B-it", "<|channel>thought"},
      {"mistralai-Ministral-3-14B-Reasoning-2512", "[THINK]"},
      {"ByteDance-Seed-OSS", "<seed:think>"},
      {"MiniMax-M3", "<mm:think>"},
      {"Apertus-8B-Instruct", "<|inner_prefix|>"},
      {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "<|START_THINKING|>"},
      {"upstage-Solar-Open-100B", "<|think|>"},
      {"Apriel-1.6-15b-Thinker-fixed", "Here are my reasoning steps:"}};
  for (const auto& [name, opens] : expected) {
    CAPTURE(name);
    const auto styles = style_of(name);
    REQUIRE(styles.size() == 1);
    CHECK(styles[0].opens == opens);
  }
  for (const char* const name : {"Qwen-Qwen2.5-7B-Instruct", "meta-llama-Llama-3.1-8B-Instruct",
                                 "google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct"}) {
    CAPTURE(name);
    CHECK(style_of(name).empty());
  }
}

TEST_CASE("thinking: only the template's own words open a block in the prompt") {
  const auto styles = thinking_styles("</think>");
  const auto opens = [&](const std::string& text, std::vector<larder::formats::ByteRange> inputs) {
    return opening(styles, MarkedText{text, std::move(inputs)}) == Opening::thinking;
  };
  CHECK(opens("<|assistant|>\n<think>\n", {}));
  CHECK(opens("hello<|assistant|><think>", {{0, 5}}));
  CHECK(!opens("<|assistant|>\n<think>\n\n</think>\n\n", {}));
  CHECK(!opens("<|user|><think>", {{8, 15}}));
  CHECK(!opens("<|user|><think>", {{10, 15}}));
  CHECK(!opens("", {}));
  CHECK(!opens("\n", {}));
}

TEST_CASE("thinking: what the prompt of a format with headers leaves open") {
  const auto styles = thinking_styles(kHarmony);
  const auto of = [&](const std::string& text, std::vector<larder::formats::ByteRange> inputs) {
    return opening(styles, MarkedText{text, std::move(inputs)});
  };
  CHECK(of("<|start|>user<|message|>Hi<|end|><|start|>assistant", {{24, 26}}) == Opening::header);
  CHECK(of("<|start|>assistant<|channel|>final<|message|>", {}) == Opening::answer);
  CHECK(of("<|start|>assistant<|channel|>analysis<|message|>", {}) == Opening::thinking);
  CHECK(of("<|start|>user<|message|><|start|>assistant", {{24, 42}}) == Opening::answer);
}

TEST_CASE("thinking: a header is never shown, whatever it says") {
  check_split(kHarmony, Opening::header,
              "<|channel|>final <|constrain|>json<|message|>{\"a\": 1}<|return|>", "",
              "{\"a\": 1}");
  check_split(kHarmony, Opening::header,
              "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final"
              "<|message|>b",
              "a", "b");
  check_split(kHarmony, Opening::header, "<|channel|>analysis<|mess", "", "");
  check_split(kHarmony, Opening::header, "<|channel|>anal", "", "");
}

TEST_CASE("thinking: a call has the recipient of its header, on either side of the channel") {
  check_split(
      kHarmony, Opening::header,
      "<|channel|>analysis<|message|>Weather?<|end|><|start|>assistant<|channel|>commentary "
      "to=functions.weather <|constrain|>json<|message|>{\"city\":\"Paris\"}<|call|>",
      "Weather?", "", "functions.weather {\"city\":\"Paris\"}");
  check_split(kHarmony, Opening::header,
              " to=functions.weather<|channel|>commentary json<|message|>{}<|call|>", "", "",
              "functions.weather {}");
  check_split(kHarmony, Opening::header,
              "<|channel|>analysis to=python code<|message|>1 + 1<|call|>", "", "", "python 1 + 1");
  ThinkingSplitter splitter(thinking_styles(kHarmony), Opening::header, {});
  splitter.push("<|channel|>commentary to=functions.f<|message|>{}<|call|>");
  splitter.finish();
  REQUIRE(splitter.calls().size() == 1);
  CHECK(splitter.calls()[0].name == "functions.f");
  CHECK(splitter.calls()[0].arguments == "{}");
}

TEST_CASE("thinking: a model that writes no header answers all the same") {
  check_split(kHarmony, Opening::header, "Paris.", "", "Paris.");
  const std::string text = std::string(300, 'x') + " <|end|>";
  check_split(kHarmony, Opening::header, text, "", std::string(300, 'x') + " ");
  check_split(kHarmony, Opening::header, "One\ntwo", "", "One\ntwo");
}

TEST_CASE("thinking: the end of the final message is the end, of others it is not") {
  ThinkingSplitter splitter(thinking_styles(kHarmony), Opening::header, {});
  CHECK(splitter.push("<|channel|>analysis<|message|>a<|end|>") == Flow::go_on);
  CHECK(splitter.push("<|start|>assistant<|channel|>final<|message|>b") == Flow::go_on);
  CHECK(!splitter.has_ended());
  CHECK(splitter.push("<|end|>") == Flow::stop);
  CHECK(splitter.has_ended());
}

TEST_CASE("thinking: what a harmony header says") {
  CHECK(parse_harmony_header("assistant<|channel|>final").channel == "final");
  CHECK(parse_harmony_header("<|channel|>final <|constrain|>json").channel == "final");
  CHECK(parse_harmony_header("assistant to=functions.f<|channel|>commentary").recipient ==
        "functions.f");
  CHECK(parse_harmony_header("<|channel|>commentary to=functions.f<|constrain|>json").recipient ==
        "functions.f");
  CHECK(parse_harmony_header("<|channel|>crypto=x").recipient.empty());
  CHECK(parse_harmony_header("").channel.empty());
}

TEST_CASE("thinking: a frame around the answer is dropped at its ends alone") {
  const char* const sign = "<think></think><response></response>";
  check_split(sign, Opening::answer, "<think>a</think>\n<response>b</response>", "a", "b");
  check_split(sign, Opening::thinking, "a</think><response>\nb\n</response>", "a", "b\n");
  check_split(sign, Opening::answer, "Write <response>x</response>.", "",
              "Write <response>x</response>.");
  check_split("</think></answer>", Opening::answer, "<think>a</think>\n<answer>\nb</answer>", "a",
              "b");
  check_split("[BEGIN FINAL RESPONSE]", Opening::thinking,
              "a[BEGIN FINAL RESPONSE]b[END FINAL RESPONSE]", "a", "b");
}

TEST_CASE("thinking: every real template that can be told to think or not renders otherwise") {
  if (!std::filesystem::exists(kTemplates)) {
    MESSAGE("skipped: no ", kTemplates);
    return;
  }
  int n_switched = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kTemplates)) {
    if (entry.path().extension() != ".jinja") continue;
    CAPTURE(entry.path().string());
    const std::string source = read(entry.path());
    const auto on = thinking_variables(source, "on"), off = thinking_variables(source, "off");
    if (on.empty() && off.empty()) continue;
    // The word is there, but the switch is a text in the messages.
    if (entry.path().stem() == "NVIDIA-Nemotron-Nano-v2") continue;
    const auto parsed = ChatTemplate::parse(source);
    REQUIRE(parsed.ok());
    CHECK(render(**parsed, on) != render(**parsed, off));
    ++n_switched;
  }
  CHECK(n_switched >= 20);
}

TEST_CASE("thinking: levels go only to templates that know levels") {
  CHECK(thinking_variables("{% if enable_thinking %}", "high").empty());
  const auto set = thinking_variables("{{ \"Reasoning: \" + reasoning_effort }}", "high");
  REQUIRE(set.size() == 1);
  CHECK(set[0].first == "reasoning_effort");
  CHECK(set[0].second.string == "high");
  CHECK(thinking_variables("no switch at all", "off").empty());
}

TEST_CASE("thinking: earlier thinking goes into the field that the template reads") {
  using larder::runtime::thinking_field;
  CHECK(thinking_field("message.reasoning_content or message.reasoning") == "reasoning_content");
  CHECK(thinking_field("{{ message.thinking }}") == "thinking");
  CHECK(thinking_field("{{ message.reasoning }}") == "reasoning");
  CHECK(thinking_field("{{ message['thought'] }}") == "thought");
  CHECK(thinking_field("{{ message.content }}") == "reasoning_content");
  larder::runtime::Message message{"assistant", "b", "a", {{"functions.f", "{}"}}};
  const DataValue data = larder::runtime::to_data(message, "thinking");
  CHECK(data.find("thinking")->string == "a");
  REQUIRE(data.find("tool_calls") != nullptr);
  CHECK(data.find("tool_calls")->list[0].find("function")->find("name")->string == "f");
}
