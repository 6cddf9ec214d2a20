// Splits what a model writes into thinking, answer and calls.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/marked_text.h"
#include "runtime/session/generation.h"
#include "runtime/session/marker_scanner.h"
#include "runtime/session/prompt.h"
#include "runtime/session/thinking_style.h"

namespace larder::runtime {

// A call's text is the name of what is called, a space, and the arguments.
enum class AnswerPart : uint8_t { thinking, answer, call };
using OnPart = std::function<Flow(AnswerPart part, std::string_view piece)>;

// What a rendered prompt leaves for the model to go on with.
enum class Opening : uint8_t { answer, thinking, header };

// Only the template's own words count, not those of a message.
Opening opening(const std::vector<ThinkingStyle>& styles, const formats::MarkedText& prompt);

// With any style, blanks around thinking and before the answer are dropped; without, text passes
// unchanged. push() answers Flow::stop where a format's final message has ended.
class ThinkingSplitter {
 public:
  ThinkingSplitter(const std::vector<ThinkingStyle>& styles, Opening opening, OnPart on_part);

  Flow push(std::string_view text);
  Flow finish();

  const std::string& thinking() const noexcept { return thinking_; }
  const std::string& answer() const noexcept { return answer_; }
  const std::vector<ToolCall>& calls() const noexcept { return calls_; }
  bool has_ended() const noexcept { return has_ended_; }

 private:
  enum class Role : uint8_t {
    opens,
    closes,
    dropped,
    opens_answer,
    closes_answer,
    begins_header,
    names_channel,
    begins_message,
    ends_message
  };
  // What became of a mark: it was only text; it has taken effect; it is the end of all.
  enum class Effect : uint8_t { none, taken, ends };
  struct Mark {
    std::string text;
    Role role;
    bool is_control;
  };

  void add_marks(const ThinkingStyle& style);
  Effect take(const Mark& mark);
  Effect take_in_channels(const Mark& mark);
  Effect open(const Mark& mark);
  Effect close(const Mark& mark);
  Flow begin_message();
  Flow show(std::string_view text);
  Flow show_header(std::string_view text);
  std::string& text_of_part() noexcept;

  std::vector<Mark> marks_;
  MarkerScanner scanner_;
  OnPart on_part_;
  AnswerPart part_;
  bool trims_;                 // blanks are dropped until the part has other text
  bool is_framed_ = false;     // the answer's frame is open
  bool has_channels_ = false;  // messages with headers, several of them for one part
  bool is_in_header_, is_final_ = false, has_ended_ = false;
  std::string header_;
  std::string thinking_, answer_;
  std::vector<ToolCall> calls_;
};

}  // namespace larder::runtime
