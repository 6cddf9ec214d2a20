#include <utility>

#include "formats/text/tokenizer.h"
#include "formats/text/unicode.h"

namespace larder::formats {

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool at_start,
                             bool show_control)
    : tokenizer_(std::move(tokenizer)),
      at_start_(at_start && tokenizer_->strips_leading_space()),
      show_control_(show_control) {}

std::string StreamDecoder::push(TokenId id) {
  const std::string bytes = tokenizer_->token_bytes(id, show_control_);
  const bool strips = at_start_ && bytes.starts_with(' ');
  held_.append(bytes, strips ? 1 : 0);
  if (!bytes.empty()) at_start_ = false;
  const size_t n_complete = complete_utf8_prefix(held_);
  std::string complete = held_.substr(0, n_complete);
  held_.erase(0, n_complete);
  return complete;
}

std::string StreamDecoder::finish() { return std::exchange(held_, {}); }

}  // namespace larder::formats
