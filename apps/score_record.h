// Lines of `larder score`: what is asked, and the records that answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/line_job.h"
#include "formats/status.h"
#include "formats/template/value.h"
#include "runtime/session/scorer.h"

namespace larder::apps {

enum class ScoreKind : uint8_t { continuation, rolling, choices };

// {"id", "context", "continuation"}, {"id", "text"}, or {"id", "context", "choices"[,
// "delimiter"]}: the delimiter stands between the context and each choice. All may have
// "token_logprobs": true.
struct ScoreRequest {
  ScoreKind kind = ScoreKind::continuation;
  bool tells_tokens = false;
  formats::DataValue id;
  int64_t line = 0;
  std::vector<std::vector<runtime::ScoreWindow>> texts;  // one, or one a choice
  std::vector<std::string> choices;

  size_t n_tokens() const noexcept;  // read and scored
};

// Errors: `invalid_argument` naming the field, those of Scorer.
Result<ScoreRequest> read_score_request(JobLine line, const runtime::Scorer& scorer,
                                        bool tells_tokens);

// {"id", "logprob", "is_greedy", "n_tokens"}, rolling without is_greedy; with choices {"id",
// "choices": [{..., "n_bytes", "n_characters"}], "best", "best_per_token", "best_per_byte",
// "best_per_character"}: the first of the best. Where asked also "tokens" and "token_logprobs".
// A record without an id has its "line" instead.
std::string score_record(const ScoreRequest& request,
                         const std::vector<runtime::Likelihood>& likelihoods);

// {"id", "line", "error": {"type", "message"}}.
std::string score_error(int64_t line, const formats::DataValue& id, const Status& why);

}  // namespace larder::apps
