// An item of an engine, under way: what has been read out of it and chosen for it so far.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "formats/status.h"
#include "runtime/session/engine.h"
#include "runtime/session/text_stream.h"

namespace larder::runtime {

class HeldItem {
 public:
  // Errors: `context_full`, `invalid_argument`, `unsupported`.
  static Status check(const EngineItem& item, const Model& model, int32_t n_ctx);
  // REQUIRES: check() is ok. The model must outlive it.
  HeldItem(EngineItem item, const Model& model, int32_t n_ctx);
  HeldItem(const HeldItem&) = delete;
  HeldItem& operator=(const HeldItem&) = delete;

  std::span<const formats::TokenId> source() const noexcept { return item_.source; }
  // The given tokens that must be computed: none where nothing is asked about them.
  std::span<const formats::TokenId> run() const noexcept {
    return std::span(tokens_).first(static_cast<size_t>(n_run_));
  }
  // Positions that a sequence must have for it.
  int32_t n_needed() const noexcept { return n_needed_; }
  // The given ones, and the generated ones.
  int32_t n_tokens() const noexcept { return static_cast<int32_t>(tokens_.size()); }
  formats::TokenId token(int32_t position) const noexcept {
    return tokens_[static_cast<size_t>(position)];
  }

  // Whether the logits behind a position are asked for.
  bool wants(int32_t position) const noexcept;
  // Takes them: scores what follows, or chooses it with this sampler. Called again with the same
  // where a pass failed. Different positions may be read at the same time.
  void read(int32_t position, std::span<const float> logits, const LogitsSummary& summary,
            Sampler& sampler) noexcept;

  bool generates() const noexcept { return generates_; }
  // What read() chose behind the last token becomes the last one; the item is_done() where that
  // ends it. REQUIRES: generates().
  void take_chosen();
  bool is_done() const noexcept { return is_done_; }

  // REQUIRES: is_done(), or nothing is generated; nothing else is called afterwards.
  EngineResult result();
  EngineResult failure(Status status);

  size_t slot = 0;  // the owner's own

 private:
  int32_t n_given() const noexcept { return static_cast<int32_t>(item_.tokens.size()); }
  int32_t n_scored() const noexcept {
    return item_.first_scored < 0 ? 0 : n_given() - item_.first_scored;
  }
  void end(StopReason reason);

  EngineItem item_;
  std::shared_ptr<const formats::Tokenizer> tokenizer_;
  int32_t n_ctx_;
  std::vector<formats::TokenId> tokens_;
  int32_t n_run_ = 0, n_needed_ = 0;
  bool generates_ = false, is_done_ = false;
  EngineResult result_;

  // What generates.
  OnText no_text_;
  std::optional<TextStream> stream_;
  RandomStream random_;
  struct Chosen {
    Status status;
    Sampled token;
    RandomStream random;
    std::vector<TokenLogprob> top;
  };
  std::optional<Chosen> chosen_;
};

}  // namespace larder::runtime
