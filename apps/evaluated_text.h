// Texts whose perplexity is computed, and the windows that this is done in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/perplexity_figures.h"
#include "formats/status.h"
#include "runtime/session/scorer.h"

namespace larder::apps {

// Rolling: lm-evaluation-harness's windows, in which every token is predicted once. Chunks:
// llama-perplexity's, whose second halves are counted, behind BOS where texts begin with it; what
// does not fill a chunk is left out.
enum class TextMode : uint32_t { rolling = 0, chunks = 1 };
const char* name_of(TextMode mode) noexcept;

inline constexpr int32_t kChunkTokens = 512;  // llama-perplexity's default

struct EvaluatedText {
  TextFigures figures;
  std::vector<formats::TokenId> tokens;
  size_t n_windows = 0;
};

class TextWindows {
 public:
  // All must outlive this. Chunks are of n_ctx tokens.
  TextWindows(const runtime::Scorer& scorer, const formats::Tokenizer& tokenizer, TextMode mode,
              int32_t n_ctx)
      : scorer_(scorer), tokenizer_(tokenizer), mode_(mode), n_ctx_(static_cast<size_t>(n_ctx)) {}

  // Errors: `io`, those of encoding; `invalid_argument` for a text that fills no chunk.
  Result<EvaluatedText> read(const std::string& path) const;
  // REQUIRES: index < text.n_windows
  runtime::EngineItem item(const EvaluatedText& text, size_t index, uint64_t tag) const;
  size_t n_scored(const EvaluatedText& text) const noexcept;

 private:
  const runtime::Scorer& scorer_;
  const formats::Tokenizer& tokenizer_;
  TextMode mode_;
  size_t n_ctx_;
};

}  // namespace larder::apps
