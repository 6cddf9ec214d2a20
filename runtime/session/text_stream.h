// Tokens in, text out: decodes, holds back what may become a stop string, and shows the rest.
#pragma once

#include <memory>
#include <string>

#include "formats/text/tokenizer.h"
#include "runtime/session/generation.h"
#include "runtime/session/marker_scanner.h"

namespace larder::runtime {

class TextStream {
 public:
  // What is shown is appended to `shown`, too. All arguments must outlive this.
  TextStream(const std::shared_ptr<const formats::Tokenizer>& tokenizer,
             const GenerationOptions& options, const OnText& on_text, std::string& shown);

  // Flow::stop may mean that a stop string was found: has_stopped().
  Flow push(formats::TokenId token);
  // What was held back is shown; a character that was never finished is dropped.
  Flow finish();

  bool has_stopped() const noexcept { return has_stopped_; }

 private:
  Flow search(const std::string& text);
  Flow show(const std::string& text);

  const std::shared_ptr<const formats::Tokenizer>& tokenizer_;
  const GenerationOptions& options_;
  formats::StreamDecoder decoder_;
  MarkerScanner stops_;
  const OnText& on_text_;
  std::string& shown_;
  bool has_stopped_ = false;
};

}  // namespace larder::runtime
