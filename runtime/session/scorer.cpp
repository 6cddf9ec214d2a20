#include "runtime/session/scorer.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <string>
#include <utility>

namespace larder::runtime {
namespace {

using formats::SpecialTokens;
using formats::TokenId;

// How many bytes at the end are what Python's str.rstrip() takes away.
// Source: str.isspace() of CPython 3.12: bidirectional type WS, B or S, or category Zs.
size_t trailing_space(std::string_view text) noexcept {
  constexpr std::string_view kSpaces[] = {" ",
                                          "\t",
                                          "\n",
                                          "\v",
                                          "\f",
                                          "\r",
                                          "\x1c",
                                          "\x1d",
                                          "\x1e",
                                          "\x1f",
                                          "\xc2\x85",
                                          "\xc2\xa0",
                                          "\xe1\x9a\x80",
                                          "\xe2\x80\x80",
                                          "\xe2\x80\x81",
                                          "\xe2\x80\x82",
                                          "\xe2\x80\x83",
                                          "\xe2\x80\x84",
                                          "\xe2\x80\x85",
                                          "\xe2\x80\x86",
                                          "\xe2\x80\x87",
                                          "\xe2\x80\x88",
                                          "\xe2\x80\x89",
                                          "\xe2\x80\x8a",
                                          "\xe2\x80\xa8",
                                          "\xe2\x80\xa9",
                                          "\xe2\x80\xaf",
                                          "\xe2\x81\x9f",
                                          "\xe3\x80\x80"};
  const size_t size = text.size();
  for (;;) {
    const auto space = std::find_if(std::begin(kSpaces), std::end(kSpaces),
                                    [&](std::string_view s) { return text.ends_with(s); });
    if (space == std::end(kSpaces)) return size - text.size();
    text.remove_suffix(space->size());
  }
}

Status no_continuation() {
  return Status(Cause::invalid_argument, "it has no tokens behind those of the context",
                "continuation");
}

}  // namespace

Result<Scorer> Scorer::create(const Model& model, int32_t n_ctx) try {
  Scorer scorer;
  scorer.tokenizer_ = model.tokenizer();
  const formats::Tokenizer& tokenizer = *scorer.tokenizer_;
  // A BOS that texts do not begin with is mostly the converter's: the tokenizer that the model was
  // made with, which the harness asks, has none. Source: Qwen's files, 2026-08.
  scorer.prefix_ = tokenizer.adds_bos() ? tokenizer.bos() : tokenizer.eos();
  if (scorer.prefix_ == formats::kNoToken) scorer.prefix_ = tokenizer.eos();
  if (scorer.prefix_ == formats::kNoToken) scorer.prefix_ = tokenizer.bos();
  if (scorer.prefix_ == formats::kNoToken)
    return Status(Cause::vocabulary, "it has neither BOS nor EOS for texts to begin behind")
        .with_file(model.file().path());
  scorer.prefix_text_ = tokenizer.text(scorer.prefix_);
  scorer.has_encoder_ = model.config().has_encoder();
  scorer.decoder_start_ = model.config().decoder_start;
  scorer.n_ctx_ = static_cast<size_t>(n_ctx);
  return scorer;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

// With the tokens that the tokenizer adds, unless the text begins with the prefix token itself.
Result<std::vector<TokenId>> Scorer::encode(std::string_view text) const try {
  const bool adds = !text.starts_with(prefix_text_);
  std::vector<TokenId> ids;
  if (adds && tokenizer_->adds_bos() && tokenizer_->bos() != formats::kNoToken)
    ids.push_back(tokenizer_->bos());
  if (Status s = tokenizer_->encode(text, SpecialTokens::recognised, ids); !s.ok()) return s;
  if (adds && tokenizer_->adds_eos() && tokenizer_->eos() != formats::kNoToken)
    ids.push_back(tokenizer_->eos());
  return ids;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<ScoreWindow> Scorer::encode_pair(std::string_view context,
                                        std::string_view continuation) const try {
  const size_t n_spaces = trailing_space(context);
  const std::string whole = std::string(context) + std::string(continuation);
  context.remove_suffix(n_spaces);
  continuation = std::string_view(whole).substr(context.size());
  ScoreWindow window;
  if (!context.empty()) {
    Result<std::vector<TokenId>> before = encode(context);
    if (!before) return before.status();
    window.context = std::move(*before);
  }
  if (window.context.empty() || has_encoder_) {
    if (Status s = tokenizer_->encode(continuation, SpecialTokens::recognised, window.continuation);
        !s.ok())
      return s;
    if (window.context.empty()) window.context = {prefix_};
    // the text's own prefix token is the context then
    if (!has_encoder_ && !window.continuation.empty() && window.continuation.front() == prefix_)
      window.continuation.erase(window.continuation.begin());
  } else {
    const Result<std::vector<TokenId>> all = encode(whole);
    if (!all) return all.status();
    if (all->size() > window.context.size())
      window.continuation.assign(all->begin() + static_cast<ptrdiff_t>(window.context.size()),
                                 all->end());
  }
  if (window.continuation.empty()) return no_continuation();
  if (window.continuation.size() > n_ctx_)
    return Status(Cause::context_full,
                  "its " + std::to_string(window.continuation.size()) +
                      " tokens do not fit the context of " + std::to_string(n_ctx_) +
                      "; choose a larger --ctx-size",
                  "continuation");
  return window;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

size_t Scorer::n_windows(size_t n_tokens) const noexcept {
  return (n_tokens + n_ctx_ - 1) / n_ctx_;
}

ScoreWindow Scorer::window(std::span<const TokenId> tokens, size_t index) const {
  assert(index < n_windows(tokens.size()));
  const size_t begin = index * n_ctx_, end = std::min(tokens.size(), begin + n_ctx_);
  ScoreWindow window;
  window.continuation.assign(tokens.begin() + static_cast<ptrdiff_t>(begin),
                             tokens.begin() + static_cast<ptrdiff_t>(end));
  if (index == 0) {
    window.context = {prefix_};
  } else {
    const size_t first = end - n_ctx_ - 1;  // one more than fits: the last is only predicted
    window.context.assign(tokens.begin() + static_cast<ptrdiff_t>(first),
                          tokens.begin() + static_cast<ptrdiff_t>(begin));
  }
  return window;
}

EngineItem Scorer::item(const ScoreWindow& window, uint64_t tag) const {
  EngineItem item;
  item.tag = tag;
  const size_t most = has_encoder_ ? n_ctx_ : n_ctx_ + 1 - window.continuation.size();
  const size_t n_context = std::min(window.context.size(), most);
  std::vector<TokenId>& before = has_encoder_ ? item.source : item.tokens;
  before.assign(window.context.end() - static_cast<ptrdiff_t>(n_context), window.context.end());
  if (has_encoder_) item.tokens = {decoder_start_};
  item.first_scored = static_cast<int32_t>(item.tokens.size());
  item.tokens.insert(item.tokens.end(), window.continuation.begin(), window.continuation.end());
  return item;
}

void append(Likelihood& likelihood, const ScoreWindow& window, const EngineResult& scored) {
  assert(scored.status.ok() && scored.scores.size() == window.continuation.size());
  for (size_t i = 0; i < scored.scores.size(); ++i) {
    likelihood.logprob += scored.scores[i].logprob;
    likelihood.is_greedy = likelihood.is_greedy && scored.scores[i].is_argmax;
    likelihood.token_logprobs.push_back(scored.scores[i].logprob);
  }
  likelihood.tokens.insert(likelihood.tokens.end(), window.continuation.begin(),
                           window.continuation.end());
}

}  // namespace larder::runtime
