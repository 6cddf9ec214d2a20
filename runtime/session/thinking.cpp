#include "runtime/session/thinking.h"

#include <algorithm>
#include <utility>

#include "runtime/session/harmony_header.h"

namespace larder::runtime {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
// What is longer, or has several lines, is no header but the text of a model that writes none.
constexpr size_t kMaxHeaderBytes = 256;

bool is_thinking(const HarmonyHeader& header) noexcept {
  return header.channel == "analysis" && header.recipient.empty();
}

// The end of a prompt that consists of messages with headers.
Opening opening_in_channels(std::string_view own) noexcept {
  const size_t start = own.rfind(harmony::kStart);
  if (start == std::string_view::npos) return Opening::answer;
  const std::string_view last = own.substr(start + harmony::kStart.size());
  const size_t message = last.find(harmony::kMessage);
  if (message == std::string_view::npos) return Opening::header;
  const bool thinks = is_thinking(parse_harmony_header(last.substr(0, message)));
  return thinks ? Opening::thinking : Opening::answer;
}

}  // namespace

Opening opening(const std::vector<ThinkingStyle>& styles, const formats::MarkedText& prompt) {
  const size_t end = prompt.text.find_last_not_of(kBlanks) + 1;  // npos + 1 is 0
  const size_t input_end = prompt.inputs.empty() ? 0 : prompt.inputs.back().end;
  if (input_end >= end) return Opening::answer;
  const std::string_view own = std::string_view(prompt.text).substr(input_end, end - input_end);
  for (const ThinkingStyle& style : styles) {
    if (style.has_channels) return opening_in_channels(own);
    if (!style.opens.empty() && own.ends_with(style.opens)) return Opening::thinking;
  }
  return Opening::answer;
}

ThinkingSplitter::ThinkingSplitter(const std::vector<ThinkingStyle>& styles, Opening opening,
                                   OnPart on_part)
    : scanner_({}),
      on_part_(std::move(on_part)),
      part_(opening == Opening::thinking ? AnswerPart::thinking : AnswerPart::answer),
      trims_(!styles.empty()),
      is_in_header_(opening == Opening::header) {
  for (const ThinkingStyle& style : styles) add_marks(style);
  std::vector<std::string> texts;
  for (const Mark& mark : marks_) texts.push_back(mark.text);
  scanner_ = MarkerScanner(std::move(texts));
}

void ThinkingSplitter::add_marks(const ThinkingStyle& style) {
  const auto add = [&](std::string_view text, Role role) {
    marks_.push_back({std::string(text), role, style.is_control});
  };
  add(style.opens, Role::opens);
  add(style.closes, Role::closes);
  add(style.opens_answer, Role::opens_answer);
  add(style.closes_answer, Role::closes_answer);
  for (const std::string_view mark : style.dropped) add(mark, Role::dropped);
  if (!style.has_channels) return;
  has_channels_ = true;
  add(harmony::kStart, Role::begins_header);
  add(harmony::kChannel, Role::names_channel);
  add(harmony::kMessage, Role::begins_message);
  for (const std::string_view mark : {harmony::kEnd, harmony::kReturn, harmony::kCall}) {
    add(mark, Role::ends_message);
  }
}

ThinkingSplitter::Effect ThinkingSplitter::take(const Mark& mark) {
  switch (mark.role) {
    case Role::opens:
      return open(mark);
    case Role::closes:
      return close(mark);
    case Role::dropped:
      return Effect::taken;
    case Role::opens_answer:
      if (part_ != AnswerPart::answer || !answer_.empty()) return Effect::none;
      is_framed_ = true;
      return Effect::taken;
    case Role::closes_answer:
      return std::exchange(is_framed_, false) ? Effect::taken : Effect::none;
    default:
      return take_in_channels(mark);
  }
}

ThinkingSplitter::Effect ThinkingSplitter::open(const Mark& mark) {
  if (part_ == AnswerPart::thinking || (!answer_.empty() && !mark.is_control)) return Effect::none;
  part_ = AnswerPart::thinking;
  trims_ = true;
  return Effect::taken;
}

ThinkingSplitter::Effect ThinkingSplitter::close(const Mark& mark) {
  if (part_ == AnswerPart::answer) return mark.is_control ? Effect::taken : Effect::none;
  thinking_.erase(thinking_.find_last_not_of(kBlanks) + 1);
  part_ = AnswerPart::answer;
  trims_ = true;
  is_framed_ = true;
  return Effect::taken;
}

ThinkingSplitter::Effect ThinkingSplitter::take_in_channels(const Mark& mark) {
  switch (mark.role) {
    case Role::begins_header:
      header_.clear();
      is_in_header_ = true;
      return Effect::taken;
    case Role::names_channel:
      if (!is_in_header_) header_.clear();
      is_in_header_ = true;
      header_ += harmony::kChannel;
      return Effect::taken;
    case Role::begins_message:
      return begin_message() == Flow::go_on ? Effect::taken : Effect::ends;
    default:
      if (part_ == AnswerPart::thinking) thinking_.erase(thinking_.find_last_not_of(kBlanks) + 1);
      part_ = AnswerPart::answer;
      trims_ = true;
      // A turn goes on after thinking and after a preamble, not after the answer.
      return std::exchange(is_final_, false) ? Effect::ends : Effect::taken;
  }
}

Flow ThinkingSplitter::begin_message() {
  const HarmonyHeader header = parse_harmony_header(header_);
  is_in_header_ = false;
  trims_ = true;
  is_final_ = header.channel == "final" && header.recipient.empty();
  part_ = is_thinking(header) ? AnswerPart::thinking : AnswerPart::answer;
  if (header.recipient.empty()) return Flow::go_on;
  part_ = AnswerPart::call;
  calls_.push_back({std::string(header.recipient), {}});
  return on_part_ ? on_part_(part_, calls_.back().name + ' ') : Flow::go_on;
}

Flow ThinkingSplitter::push(std::string_view text) {
  for (MarkerScanner::Found found = scanner_.push(text);; found = scanner_.push("")) {
    if (const Flow flow = show(found.before); flow != Flow::go_on) return flow;
    if (found.marker == MarkerScanner::kNone) return Flow::go_on;
    const Mark& mark = marks_[static_cast<size_t>(found.marker)];
    const Effect effect = take(mark);
    if (effect == Effect::ends) {
      has_ended_ = true;
      return Flow::stop;
    }
    if (effect == Effect::taken) continue;
    if (const Flow flow = show(mark.text); flow != Flow::go_on) return flow;
  }
}

Flow ThinkingSplitter::finish() {
  const Flow flow = show(scanner_.finish());
  // A header that was cut short tells nothing; without any mark it was the whole answer.
  const bool is_text = thinking_.empty() && answer_.empty() && calls_.empty() &&
                       header_.find(harmony::kChannel) == std::string::npos;
  if (!is_in_header_ || !is_text || flow != Flow::go_on) return flow;
  is_in_header_ = false;
  return show(std::exchange(header_, {}));
}

Flow ThinkingSplitter::show_header(std::string_view text) {
  header_ += text;
  const bool is_header =
      header_.size() <= kMaxHeaderBytes && header_.find('\n') == std::string::npos;
  if (is_header) return Flow::go_on;
  is_in_header_ = false;
  part_ = AnswerPart::answer;
  return show(std::exchange(header_, {}));
}

Flow ThinkingSplitter::show(std::string_view text) {
  if (is_in_header_) return show_header(text);
  if (trims_) text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  if (text.empty()) return Flow::go_on;
  std::string& part = text_of_part();
  const std::string separator = trims_ && has_channels_ && !part.empty() ? "\n\n" : "";
  trims_ = false;
  const std::string piece = separator + std::string(text);
  part += piece;
  return on_part_ ? on_part_(part_, piece) : Flow::go_on;
}

std::string& ThinkingSplitter::text_of_part() noexcept {
  switch (part_) {
    case AnswerPart::thinking:
      return thinking_;
    case AnswerPart::call:
      return calls_.back().arguments;
    default:
      return answer_;
  }
}

}  // namespace larder::runtime
