#include "runtime/session/text_stream.h"

#include <algorithm>

namespace larder::runtime {

TextStream::TextStream(const std::shared_ptr<const formats::Tokenizer>& tokenizer,
                       const GenerationOptions& options, const OnText& on_text, std::string& shown)
    : tokenizer_(tokenizer),
      options_(options),
      decoder_(tokenizer, false, options.show_control),
      stops_(options.stop),
      on_text_(on_text),
      shown_(shown) {}

Flow TextStream::push(formats::TokenId token) {
  const auto& always = options_.shown_control;
  if (std::find(always.begin(), always.end(), token) == always.end())
    return search(decoder_.push(token));
  (void)decoder_.finish();  // a partial character is dropped
  return search(tokenizer_->token_bytes(token, true));
}

Flow TextStream::finish() { return show(stops_.finish()); }

Flow TextStream::search(const std::string& text) {
  const MarkerScanner::Found found = stops_.push(text);
  has_stopped_ = found.marker != MarkerScanner::kNone;
  return show(found.before);
}

Flow TextStream::show(const std::string& text) {
  if (text.empty()) return Flow::go_on;
  shown_ += text;
  return on_text_ ? on_text_(text) : Flow::go_on;
}

}  // namespace larder::runtime
