// Splits what a model writes into thinking and answer. Which marks a model uses is a row of data,
// chosen by the text of its chat template.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/marked_text.h"
#include "formats/text/tokenizer.h"
#include "runtime/session/generation.h"
#include "runtime/session/marker_scanner.h"

namespace larder::runtime {

enum class Part : uint8_t { thinking, answer };
using OnPart = std::function<Flow(Part part, std::string_view piece)>;

struct ThinkingStyle {
  std::string_view sign;    // a template that contains this uses the style
  std::string_view opens;   // begins thinking
  std::string_view closes;  // ends it
  // Where the marks are control tokens they count anywhere; spelled in ordinary text they count
  // only before the answer has begun, so that an answer may speak of them.
  bool is_control = false;
  std::vector<std::string_view> dropped;  // frame marks that nobody should see
};

// The styles that a chat template uses.
std::vector<ThinkingStyle> thinking_styles(std::string_view template_source);

// Control tokens that the marks consist of: they must be shown for the marks to be found.
std::vector<formats::TokenId> mark_tokens(const std::vector<ThinkingStyle>& styles,
                                          const formats::Tokenizer& tokenizer);

// Whether a rendered prompt ends by opening a block of thinking itself.
bool opens_thinking(const std::vector<ThinkingStyle>& styles, const formats::MarkedText& prompt);

// With any style, blanks around thinking and before the answer are dropped; without, text passes
// unchanged.
class ThinkingSplitter {
 public:
  ThinkingSplitter(const std::vector<ThinkingStyle>& styles, bool begins_thinking, OnPart on_part);

  Flow push(std::string_view text);
  Flow finish();

  const std::string& thinking() const noexcept { return thinking_; }
  const std::string& answer() const noexcept { return answer_; }

 private:
  enum class Role : uint8_t { opens, closes, dropped };
  struct Mark {
    std::string text;
    Role role;
    bool is_control;
  };

  void add_mark(std::string_view text, Role role, bool is_control);
  bool take(const Mark& mark);
  Flow show(std::string_view text);

  std::vector<Mark> marks_;
  MarkerScanner scanner_;
  OnPart on_part_;
  Part part_;
  bool trims_;  // blanks are dropped until the part has other text
  std::string thinking_, answer_;
};

}  // namespace larder::runtime
