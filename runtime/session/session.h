// One conversation's or text's place in a model: tokens so far, their cache, the next logits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/status.h"
#include "runtime/forward/forward.h"
#include "runtime/model/model.h"
#include "runtime/session/residence.h"

namespace larder::runtime {

inline constexpr int32_t kDefaultContext = 8192;  // at most; the model's own length if shorter

struct SessionOptions {
  // behaviour
  int32_t n_ctx = 0;   // also of a source; 0: min(the model's context length, kDefaultContext)
  bool exact = false;  // float32 activations and cache; what references are compared with
  // What keys and values are kept as; none: f16, f32 where `exact`. A latent
  // has the type of keys.
  std::optional<CacheType> cache_k, cache_v;
  // performance; the answer does not depend on these
  // 0: the machine's cores, fewer for a small model; at most the logical processors that may be
  // used.
  int n_threads = 0;
  int32_t batch_size = 512;       // tokens of one prefill step
  std::string isa;                // empty: the best; a name of quant::kernel_sets()
  uint64_t ram_bytes = kAutoRam;  // of the whole process, program and model included
  // Where the use of paged experts is kept from session to session; empty: nowhere. Made when it is
  // missing; what cannot be read or written there is no error.
  std::string profile_folder;
};

// What a session holds, beside its cache.
struct HeldTokens {
  std::span<const formats::TokenId> tokens, source;
  std::span<const float> logits;  // of the last token; or empty
};

// done tokens of total, first 0; returning false cancels.
using Progress = std::function<bool(int32_t done, int32_t total)>;

class Session {
 public:
  // Errors: `invalid_argument` (unknown instruction set, n_ctx out of range, cache type),
  // `out_of_memory`, `budget`; where weights are loaded (plan().is_paged) also `io`, `truncated`,
  // `changed`, and `cancelled` by `loading`.
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options,
                                                 const LoadProgress& loading = {});
  // What create() would do with memory; takes none. Errors: `invalid_argument`, `budget`.
  static Result<RamBudget> plan(const Model& model, const SessionOptions& options);
  // The options with their defaults filled in. Error: `invalid_argument`.
  static Result<SessionOptions> resolve(const Model& model, const SessionOptions& options);
  ~Session();

  // Of a model with an encoder: encodes, at once, the source that answers belong to, and forgets
  // all tokens. Without a source nothing can be appended. Errors, which leave what is held:
  // `unsupported` without an encoder, `context_full`, `cancelled`, `invalid_argument`;
  // and `numeric`, behind which there may be no source.
  Status encode(std::span<const formats::TokenId> source, ForwardObserver* observer = nullptr);

  // Appends tokens, in batches; afterwards logits() belongs to the last. Errors: `context_full`
  // naming the sizes and --ctx-size, `cancelled` (what was done so far stays), `numeric`,
  // `invalid_argument`.
  Status append(std::span<const formats::TokenId> tokens, const Progress& progress = {},
                ForwardObserver* observer = nullptr);
  // Keeps the common beginning of what is held and `tokens`, or as much of it as truncate() would
  // leave, forgets the rest, appends what is new;
  // at least the last token is computed again, so that logits() is its own. Errors: as append;
  // `context_full` and `invalid_argument` leave what is held.
  Status continue_as(std::span<const formats::TokenId> tokens, const Progress& progress = {});
  // How many of `tokens` continue_as() would keep.
  int32_t n_reusable(std::span<const formats::TokenId> tokens) const noexcept;
  // Forgets all tokens from `n_tokens` on, and returns how many are left: fewer than asked for
  // where the model carries states and none was kept there, or has windows and no longer holds what
  // they show there (window_ring.h). REQUIRES: 0 <= n_tokens <= tokens().size()
  int32_t truncate(int32_t n_tokens) noexcept;

  // [n_vocab], of the last token; empty before the first append and after truncate or an error.
  std::span<const float> logits() const noexcept;
  // As append, for all positions: calls each(position index, logits of it).
  Status append_all_logits(std::span<const formats::TokenId> tokens,
                           const std::function<void(int32_t, std::span<const float>)>& each,
                           ForwardObserver* observer = nullptr);

  const std::vector<formats::TokenId>& tokens() const noexcept;
  const std::vector<formats::TokenId>& source() const noexcept;
  // The cache of these, for those who keep it elsewhere.
  const SequenceState& state() const noexcept;
  // Holds tokens whose cache `fill` puts into the state: as many positions and as long a source.
  // Errors: `invalid_argument`, `context_full`, which leave what is held; that of fill, behind which
  // nothing is held.
  Status hold(const HeldTokens& held, const std::function<Status(SequenceState&)>& fill);
  // Another session with the same options, that holds the same: a cache and buffers of its own,
  // beside ram(). It shares weights, and paged experts with what was read of them; passes over
  // these take turns, so that each is computed with as many slots as if it were alone. Error:
  // `out_of_memory`.
  Result<std::unique_ptr<Session>> copy() const;
  int32_t n_ctx() const noexcept;
  const Model& model() const noexcept;
  const SessionOptions& options() const noexcept;  // with defaults filled in
  const char* isa() const noexcept;
  size_t bytes() const noexcept;  // cache and buffers
  const RamBudget& ram() const noexcept;
  // None where the file is mapped. Of all sessions that share the experts, and behind the pass of
  // another that is running. REQUIRES: not called by an observer of a pass.
  std::optional<ExpertStatistics> expert_statistics() const;
  const std::string& profile_note() const noexcept;  // why a kept profile is not used; or empty
  // Callable from any thread and from a signal handler: the running call, or else the next one,
  // returns `cancelled` soon. forget_cancel() takes back what no call has answered yet.
  void cancel() noexcept;
  void forget_cancel() noexcept;

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace larder::runtime
