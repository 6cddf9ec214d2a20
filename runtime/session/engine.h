// Many sequences over one model: items go in, passes of up to batch_size rows of many items are
// run, finished items come out. What is computed for an item does not depend on its neighbours,
// their order, batches, threads, memory or shared prefixes: bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "formats/status.h"
#include "runtime/model/model.h"
#include "runtime/session/generation.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"
#include "runtime/session/softmax.h"

namespace larder::runtime {

struct EngineOptions {
  SessionOptions session = {};  // n_ctx: of the longest item and source; batch_size is not read
  // performance; no answer depends on these
  int32_t batch_size = 0;  // rows of a pass; 0: 512, and thousands where experts are paged, so that
                           // a pass reads each of them once for all its rows
  int32_t max_items = 0;   // held at once; 0: kEngineItems
  uint64_t cache_bytes = 0;     // of all sequences together; 0: what items of some passes need
  bool shares_prefixes = true;  // among the items that are held
};

// Beginnings are shared among these, and passes are filled from them.
inline constexpr int32_t kEngineItems = 256;

// The logits from which the token at `index` of an item is predicted. Valid during the call.
struct PredictedToken {
  int32_t index = 0;              // in the item's tokens; behind them, of a generated one
  std::span<const float> logits;  // [n_vocab]
  LogitsSummary summary;
};

struct GenerationRequest {
  SamplerOptions sampler;  // with the item's own seed
  GenerationOptions options;
};

struct EngineItem {
  uint64_t tag = 0;                      // the caller's own
  std::vector<formats::TokenId> source;  // what an encoder reads; empty without one
  std::vector<formats::TokenId> tokens;  // at least one; behind an encoder from decoder_start on
  // Tokens [first_scored, size) get their log-probabilities, each given all before it. At least 1:
  // nothing predicts the first. -1: none. Without generation the last token needs no position of
  // n_ctx.
  int32_t first_scored = -1;
  std::optional<GenerationRequest> generation;  // goes on behind the tokens
  int32_t n_top = 0;  // also the best so many tokens at every scored and generated place
  // Called for every scored and generated token, in any order, on any thread and on several at
  // once; again, with the same, where something was computed again. Must neither throw nor call the
  // engine, but for cancel().
  std::function<void(const PredictedToken&)> on_predicted;
};

struct ScoredToken {
  double logprob = 0;      // natural, under the model's own distribution
  bool is_argmax = false;  // greedy decoding would choose it; of equal logits, the lowest id
};

struct EngineResult {
  uint64_t tag = 0;
  Status status;  // of this item alone: `numeric`, `out_of_memory`; the rest is then empty
  std::vector<ScoredToken> scores;       // of tokens [first_scored, size)
  std::optional<Generation> generation;  // seconds: 0
  std::vector<TokenLogprob> top;         // [scored, then generated][n_top], best first
};

struct EngineStatistics {
  uint64_t n_passes = 0;
  uint64_t n_rows = 0;         // computed
  uint64_t n_shared_rows = 0;  // not computed, as another item with the same beginning was
  uint64_t n_finished = 0;     // items
};

class Engine {
 public:
  // Takes all memory that passes will need. Errors: those of Session::create.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const Model> model,
                                                const EngineOptions& options,
                                                const LoadProgress& loading = {});
  // What create() would do with memory; takes none. Errors: `invalid_argument`, `budget`.
  static Result<RamBudget> plan(const Model& model, const EngineOptions& options);
  ~Engine();

  // Whether one more item can be submitted. Keep it full: the more items are held, the better are
  // passes filled, and the more beginnings shared.
  bool has_room() const noexcept;
  // Holds the item. Errors, which hold nothing: `context_full`, `invalid_argument`, `unsupported`.
  // REQUIRES: has_room(); not called by on_predicted.
  Status submit(EngineItem item);
  size_t n_held() const noexcept;
  // Runs one pass over what is held, and hands out the items that it finishes. Errors: `cancelled`
  // (nothing is lost; a later call goes on), and what no item is to blame for: `io`, `truncated`,
  // `changed` of paged experts. Where memory ends, all that are held fail with `out_of_memory`.
  // `finished` may submit() further items, which later passes run, and clear(); advance() from
  // inside of it, or of on_predicted, is refused as `invalid_argument`.
  Status advance(const std::function<void(EngineResult&&)>& finished);
  // Forgets all that is held, and results that were not handed out. REQUIRES: as submit().
  void clear() noexcept;

  const Model& model() const noexcept;
  const SessionOptions& options() const noexcept;  // with defaults filled in
  int32_t n_ctx() const noexcept;
  const char* isa() const noexcept;
  size_t bytes() const noexcept;  // caches and buffers
  const RamBudget& ram() const noexcept;
  std::optional<ExpertStatistics> expert_statistics() const;  // none where the file is mapped
  const std::string& profile_note() const noexcept;  // why a kept profile is not used; or empty
  const EngineStatistics& statistics() const noexcept;

  // Callable from any thread and from a signal handler: the running call of advance(), or else the
  // next one, returns `cancelled` soon. forget_cancel() takes back what no call has answered yet.
  void cancel() noexcept;
  void forget_cancel() noexcept;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace larder::runtime
