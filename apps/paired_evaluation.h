// Two models over the same texts, token by token: how far the second one's expectations are from
// the first one's, over the whole vocabulary.
#pragma once

#include <cstddef>
#include <vector>

#include "apps/evaluated_text.h"
#include "apps/perplexity_figures.h"
#include "apps/terminal.h"
#include "formats/status.h"
#include "runtime/session/session.h"

namespace larder::apps {

class PairedEvaluation {
 public:
  // Sessions of two types of one model, with the same n_ctx.
  PairedEvaluation(runtime::Session& base, runtime::Session& other) : base_(base), other_(other) {}

  // Counts into the texts' figures what the second model makes of them. Errors: those of sessions.
  Status run(const TextWindows& windows, std::vector<EvaluatedText>& texts, ProgressLine& progress);

  const Comparison& comparison() const noexcept { return comparison_; }
  const Mean& surprise() const noexcept { return surprise_; }  // the second model's

 private:
  Status run_window(const runtime::EngineItem& item, TextFigures& figures);
  Status begin(runtime::Session& session, const runtime::EngineItem& item);
  Status run_piece(std::span<const formats::TokenId> rows,
                   std::span<const formats::TokenId> predicted, TextFigures& figures);

  runtime::Session& base_;
  runtime::Session& other_;
  std::vector<float> base_logits_;  // [rows of a piece][n_vocab]
  Comparison comparison_;
  Mean surprise_;
};

}  // namespace larder::apps
