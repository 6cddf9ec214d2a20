#include "apps/paired_evaluation.h"

#include <algorithm>
#include <span>

#include "apps/signals.h"
#include "runtime/session/softmax.h"

namespace larder::apps {
namespace {

using formats::TokenId;
using runtime::LogitsSummary;

// The base's logits that are kept until the other model has come as far; one row at least.
constexpr size_t kKeptBytes = size_t{32} << 20;

}  // namespace

Status PairedEvaluation::begin(runtime::Session& session, const runtime::EngineItem& item) {
  cancel_on_signal(&session);
  session.truncate(0);
  if (!item.source.empty())
    if (Status s = session.encode(item.source); !s.ok()) return s;
  // Nobody asks what is expected behind these.
  const auto n = static_cast<size_t>(item.first_scored - 1);
  return n > 0 ? session.append(std::span(item.tokens).first(n)) : Status();
}

Status PairedEvaluation::run_piece(std::span<const TokenId> rows,
                                   std::span<const TokenId> predicted, TextFigures& figures) {
  const size_t n_vocab = static_cast<size_t>(base_.model().config().n_vocab);
  base_logits_.clear();
  cancel_on_signal(&base_);
  Status status = base_.append_all_logits(rows, [&](int32_t, std::span<const float> logits) {
    base_logits_.insert(base_logits_.end(), logits.begin(), logits.end());
  });
  if (!status.ok()) return status;
  cancel_on_signal(&other_);
  size_t i = 0;
  return other_.append_all_logits(rows, [&](int32_t, std::span<const float> logits) {
    const std::span<const float> base = std::span(base_logits_).subspan(i * n_vocab, n_vocab);
    const auto token = static_cast<size_t>(predicted[i++]);
    const LogitsSummary base_summary = runtime::summarize(base);
    const LogitsSummary summary = runtime::summarize(logits);
    const double logprob = static_cast<double>(logits[token]) - summary.log_sum_exp;
    comparison_.add(static_cast<double>(base[token]) - base_summary.log_sum_exp,
                    runtime::divergence(base, base_summary, logits, summary), logprob,
                    base_summary.argmax == summary.argmax);
    surprise_.add(-logprob);
    figures.surprise.add(-logprob);
  });
}

Status PairedEvaluation::run_window(const runtime::EngineItem& item, TextFigures& figures) {
  for (runtime::Session* session : {&base_, &other_})
    if (Status s = begin(*session, item); !s.ok()) return s;
  const size_t row_bytes = static_cast<size_t>(base_.model().config().n_vocab) * sizeof(float);
  const size_t n_together = std::max<size_t>(1, kKeptBytes / row_bytes);
  const std::span<const TokenId> tokens(item.tokens);
  for (size_t at = static_cast<size_t>(item.first_scored); at < tokens.size();) {
    const size_t n = std::min(n_together, tokens.size() - at);
    if (Status s = run_piece(tokens.subspan(at - 1, n), tokens.subspan(at, n), figures); !s.ok())
      return s;
    at += n;
  }
  return {};
}

Status PairedEvaluation::run(const TextWindows& windows, std::vector<EvaluatedText>& texts,
                             ProgressLine& progress) {
  size_t n_all = 0;
  for (const EvaluatedText& text : texts) n_all += windows.n_scored(text);
  for (EvaluatedText& text : texts) {
    for (size_t i = 0; i < text.n_windows; ++i) {
      if (is_ending()) return Status(Cause::cancelled, "interrupted");
      if (Status s = run_window(windows.item(text, i, 0), text.figures); !s.ok()) return s;
      progress.update(static_cast<int64_t>(surprise_.count()), static_cast<int64_t>(n_all));
    }
  }
  return {};
}

}  // namespace larder::apps
