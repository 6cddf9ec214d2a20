// How a family of models marks thinking, answer and calls in what it writes, and how its template
// is told to think. Rows of data, chosen by the text of the chat template.
#pragma once

#include <string_view>
#include <vector>

#include "formats/template/value.h"
#include "formats/text/tokenizer.h"

namespace larder::runtime {

struct ThinkingStyle {
  std::string_view sign;    // a template that contains this uses the style
  std::string_view opens;   // begins thinking
  std::string_view closes;  // ends it
  // Where the marks are control tokens they count anywhere; spelled in ordinary text they count
  // only before the answer has begun, so that an answer may speak of them.
  bool is_control = false;
  std::vector<std::string_view> dropped = {};              // frame marks that nobody should see
  std::string_view opens_answer = {}, closes_answer = {};  // a frame around it, in ordinary text
  // Every message has a header that names its channel and, for a call, whom it goes to: harmony.
  bool has_channels = false;
};

// Layout of the harmony format: <|start|>assistant to=functions.f<|channel|>commentary json
// <|message|>...<|end|>; the last message of a turn ends with <|return|> or <|call|> instead.
// Source: OpenAI's published description of the format, 2026-08.
namespace harmony {
inline constexpr std::string_view kStart = "<|start|>", kChannel = "<|channel|>",
                                  kMessage = "<|message|>", kEnd = "<|end|>",
                                  kReturn = "<|return|>", kCall = "<|call|>";
}  // namespace harmony

// The styles that a chat template uses.
std::vector<ThinkingStyle> thinking_styles(std::string_view template_source);

// Control tokens that the marks consist of: they must be shown for the marks to be found.
std::vector<formats::TokenId> mark_tokens(const std::vector<ThinkingStyle>& styles,
                                          const formats::Tokenizer& tokenizer);

// The field of an earlier message in which the template looks for its thinking.
std::string_view thinking_field(std::string_view template_source) noexcept;

// The variables that ask a template for thinking. `wish` is "on", "off" or a level that the
// template knows ("low", "high", ...); where a template cannot do without thinking, "off" asks for
// the least. Empty: the template has no switch for it.
std::vector<formats::DataValue::Member> thinking_variables(std::string_view template_source,
                                                           std::string_view wish);

}  // namespace larder::runtime
