#include "runtime/session/held_item.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "runtime/session/generation_step.h"
#include "runtime/session/token_checks.h"

namespace larder::runtime {
namespace {

bool goes_on(const EngineItem& item) {
  return item.generation && item.generation->options.max_tokens != 0;
}

bool scores(const EngineItem& item) {
  return item.first_scored >= 0 && static_cast<size_t>(item.first_scored) < item.tokens.size();
}

}  // namespace

Status HeldItem::check(const EngineItem& item, const Model& model, int32_t n_ctx) {
  if (item.tokens.empty()) return Status(Cause::invalid_argument, "an item has at least one token");
  const ModelConfig& config = model.config();
  if (Status s = check_ids(item.tokens, config); !s.ok()) return s;
  if (Status s = check_has_source(item.source, config); !s.ok()) return s;
  if (!item.source.empty())
    if (Status s = check_source(item.source, config, n_ctx); !s.ok()) return s;
  if (item.first_scored == 0 || item.first_scored < -1 ||
      (item.first_scored > 0 && static_cast<size_t>(item.first_scored) > item.tokens.size()))
    return Status(Cause::invalid_argument, "the first scored token is one behind the first");
  if (item.n_top < 0 || item.n_top > config.n_vocab)
    return Status(Cause::invalid_argument, "no vocabulary has so many best tokens");
  if (item.generation)
    if (Status s = runtime::check(item.generation->sampler); !s.ok()) return s;
  return check_fits(item.tokens.size() - (goes_on(item) ? 0 : 1), n_ctx);
}

HeldItem::HeldItem(EngineItem item, const Model& model, int32_t n_ctx)
    : item_(std::move(item)),
      tokenizer_(model.tokenizer()),
      n_ctx_(n_ctx),
      tokens_(item_.tokens),
      generates_(goes_on(item_)),
      random_(item_.generation ? item_.generation->sampler.seed : 0) {
  if (generates_)
    n_run_ = n_given();
  else if (scores(item_))
    n_run_ = n_given() - 1;
  n_needed_ = std::max(n_run_, static_cast<int32_t>(item_.source.size()));
  const auto n_scored_tokens = static_cast<size_t>(n_scored());
  result_.tag = item_.tag;
  result_.scores.resize(n_scored_tokens);
  result_.top.resize(n_scored_tokens * static_cast<size_t>(item_.n_top));
  if (!item_.generation) return;
  result_.generation.emplace();
  if (!generates_) {
    end(StopReason::length);
    return;
  }
  const GenerationOptions& options = item_.generation->options;
  const int64_t most = options.max_tokens < 0 ? n_ctx : options.max_tokens;
  n_needed_ = static_cast<int32_t>(
      std::max<int64_t>(n_needed_, std::min<int64_t>(n_ctx, n_run_ + most - 1)));
  stream_.emplace(tokenizer_, options, no_text_, result_.generation->text);
  chosen_.emplace(Chosen{{}, {}, random_, {}});
  chosen_->top.resize(static_cast<size_t>(item_.n_top));
}

bool HeldItem::wants(int32_t position) const noexcept {
  if (position + 1 < n_given()) return item_.first_scored > 0 && position + 1 >= item_.first_scored;
  return generates_ && position + 1 == n_tokens();
}

void HeldItem::read(int32_t position, std::span<const float> logits, const LogitsSummary& summary,
                    Sampler& sampler) noexcept {
  assert(wants(position));
  const int32_t index = position + 1;
  if (item_.on_predicted) item_.on_predicted({index, logits, summary});
  const auto n_top = static_cast<size_t>(item_.n_top);
  if (index < n_given()) {
    const auto at = static_cast<size_t>(index - item_.first_scored);
    const auto token = static_cast<size_t>(this->token(index));
    result_.scores[at] = {logits[token] - summary.log_sum_exp,
                          this->token(index) == summary.argmax};
    choose_best(logits, summary, std::span(result_.top).subspan(at * n_top, n_top));
    return;
  }
  choose_best(logits, summary, chosen_->top);
  sampler.continue_as(item_.generation->sampler, random_);
  const Result<Sampled> sampled = sampler.sample(logits, tokens_, summary.log_sum_exp);
  chosen_->status = sampled.status();
  if (sampled) chosen_->token = *sampled;
  chosen_->random = sampler.random();
}

void HeldItem::take_chosen() {
  assert(generates_ && !is_done_);
  if (!chosen_->status.ok()) {
    is_done_ = true;
    result_.status = chosen_->status;
    return;
  }
  random_ = chosen_->random;
  tokens_.push_back(chosen_->token.token);
  result_.top.insert(result_.top.end(), chosen_->top.begin(), chosen_->top.end());
  if (const auto reason = take(chosen_->token, *tokenizer_, item_.generation->options, *stream_,
                               *result_.generation))
    return end(*reason);
  if (n_tokens() > n_ctx_) end(StopReason::context_full);
}

void HeldItem::end(StopReason reason) {
  is_done_ = true;
  result_.generation->reason = reason;
  if (stream_ && !stream_->has_stopped()) (void)stream_->finish();
}

EngineResult HeldItem::result() {
  if (!result_.status.ok()) return failure(result_.status);
  return std::move(result_);
}

EngineResult HeldItem::failure(Status status) {
  EngineResult failed;
  failed.tag = item_.tag;
  failed.status = std::move(status);
  return failed;
}

}  // namespace larder::runtime
