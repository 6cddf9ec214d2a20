#include "apps/evaluated_text.h"

#include <utility>

#include "apps/options.h"
#include "runtime/session/prompt.h"

namespace larder::apps {

const char* name_of(TextMode mode) noexcept {
  return mode == TextMode::rolling ? "rolling" : "chunks";
}

Result<EvaluatedText> TextWindows::read(const std::string& path) const {
  const Result<std::string> bytes = read_file(path);
  if (!bytes) return bytes.status();
  const bool is_rolling = mode_ == TextMode::rolling;
  auto tokens = is_rolling
                    ? scorer_.encode(*bytes)
                    : runtime::encode_text(tokenizer_, *bytes, formats::SpecialTokens::as_text);
  if (!tokens) return tokens.status();
  EvaluatedText text;
  text.figures.name = path;
  text.figures.n_bytes = bytes->size();
  text.tokens = std::move(*tokens);
  text.n_windows = is_rolling ? scorer_.n_windows(text.tokens.size()) : text.tokens.size() / n_ctx_;
  if (is_rolling || text.n_windows > 0) return text;
  return Status(Cause::invalid_argument, "its " + std::to_string(text.tokens.size()) +
                                             " tokens fill no chunk of " + std::to_string(n_ctx_) +
                                             "; give more text, or choose a smaller --ctx-size")
      .with_file(path);
}

runtime::EngineItem TextWindows::item(const EvaluatedText& text, size_t index, uint64_t tag) const {
  if (mode_ == TextMode::rolling) return scorer_.item(scorer_.window(text.tokens, index), tag);
  runtime::EngineItem item;
  item.tag = tag;
  const auto begin = text.tokens.begin() + static_cast<ptrdiff_t>(index * n_ctx_);
  item.tokens.assign(begin, begin + static_cast<ptrdiff_t>(n_ctx_));
  if (tokenizer_.adds_bos()) item.tokens.front() = tokenizer_.bos();
  item.first_scored = static_cast<int32_t>(n_ctx_ / 2) + 1;
  return item;
}

size_t TextWindows::n_scored(const EvaluatedText& text) const noexcept {
  return mode_ == TextMode::rolling ? text.tokens.size()
                                    : text.n_windows * (n_ctx_ - n_ctx_ / 2 - 1);
}

}  // namespace larder::apps
