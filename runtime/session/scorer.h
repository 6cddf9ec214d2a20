// Log-likelihoods of texts as lm-evaluation-harness defines them, so that figures compare with its
// Hugging Face backend's: where a context ends and what comes before the first token.
// Source: lm_eval 0.4.13, TemplateLM and HFLM, 2026-08.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/status.h"
#include "runtime/session/engine.h"

namespace larder::runtime {

// Tokens to be scored, each behind the context and those before it.
struct ScoreWindow {
  std::vector<formats::TokenId> context, continuation;
};

struct Likelihood {
  double logprob = 0;     // natural, summed in the order of the tokens
  bool is_greedy = true;  // every token is what greedy decoding chooses
  std::vector<formats::TokenId> tokens;
  std::vector<double> token_logprobs;
};

class Scorer {
 public:
  // n_ctx: of the engine that will compute. Error: `vocabulary` of a model with neither BOS nor
  // EOS.
  static Result<Scorer> create(const Model& model, int32_t n_ctx);

  // Spaces at the end of the context belong to the continuation; both are encoded together, and
  // the continuation is what is behind as many tokens as the context has. Behind nothing comes the
  // prefix token. Errors: `invalid_argument` where the continuation has no tokens of its own,
  // `context_full` where it does not fit.
  Result<ScoreWindow> encode_pair(std::string_view context, std::string_view continuation) const;

  // A text of any length, for rolling windows: every token is predicted once, the first behind the
  // prefix token, all of a window behind as many tokens as fit.
  Result<std::vector<formats::TokenId>> encode(std::string_view text) const;
  size_t n_windows(size_t n_tokens) const noexcept;
  // REQUIRES: index < n_windows(tokens.size())
  ScoreWindow window(std::span<const formats::TokenId> tokens, size_t index) const;

  // What an engine computes for a window; a context that is too long loses its beginning.
  EngineItem item(const ScoreWindow& window, uint64_t tag) const;

  // The BOS that texts begin with, or else EOS.
  formats::TokenId prefix_token() const noexcept { return prefix_; }

 private:
  Scorer() = default;

  std::shared_ptr<const formats::Tokenizer> tokenizer_;
  formats::TokenId prefix_ = formats::kNoToken, decoder_start_ = formats::kNoToken;
  std::string prefix_text_;
  bool has_encoder_ = false;
  size_t n_ctx_ = 0;
};

// Appends what an engine found out about a window's tokens; windows come in their order.
// REQUIRES: scored.status.ok().
void append(Likelihood& likelihood, const ScoreWindow& window, const EngineResult& scored);

}  // namespace larder::runtime
