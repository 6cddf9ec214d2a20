#include "runtime/session/session.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "quant/parallel.h"
#include "runtime/session/kept_use.h"
#include "runtime/session/sequence_state.h"
#include "runtime/session/session_options.h"

namespace larder::runtime {
namespace {

using formats::TokenId;

// Logits of all positions are computed in steps whose logits fit this; one position at least.
constexpr int64_t kLogitsBytes = int64_t{32} << 20;

ResidenceOptions residence_options(const Model& model, const SessionOptions& options,
                                   const quant::KernelSet* kernels) {
  const int64_t n_logits = kLogitsBytes / (int64_t{model.config().n_vocab} * sizeof(float));
  ResidenceOptions with;
  with.forward = forward_options(options, kernels);
  with.forward.max_logits =
      static_cast<int32_t>(std::clamp<int64_t>(n_logits, 1, options.batch_size));
  with.n_ctx = options.n_ctx;
  with.cache = {*options.cache_k, *options.cache_v};
  with.ram_bytes = options.ram_bytes;
  return with;
}

constexpr int32_t kHeldLogits = -1;

}  // namespace

// Invariant: state and tokens hold the same positions between calls.
struct Session::Impl {
  std::shared_ptr<const Model> model;
  SessionOptions options;
  const quant::KernelSet* kernels = nullptr;
  RamBudget ram;
  std::shared_ptr<ExpertStore> experts;  // null where the file is mapped
  std::unique_ptr<Forward> forward;
  std::unique_ptr<SequenceState> state;
  std::vector<TokenId> tokens, source;
  std::vector<TokenRow> rows;  // of the running step
  bool has_logits = false;
  // Which of the last step's logits belong to the last token; kHeldLogits: held_logits do.
  int32_t last_logits = 0;
  std::vector<float> held_logits;
  std::atomic<bool> is_cancelled{false};

  int32_t n_tokens() const noexcept { return static_cast<int32_t>(tokens.size()); }
  Status check_tokens(std::span<const TokenId> ids) const;
  Status check_source(std::span<const TokenId> ids) const;
  Status check_room(std::span<const TokenId> added, size_t n_kept) const;
  Status step(std::span<const TokenId> added, int32_t n_wanted, ForwardObserver* observer);
  Status report_cancel();

  KeptUse kept_use;
};

Status Session::Impl::check_tokens(std::span<const TokenId> ids) const {
  const int32_t n_vocab = model->config().n_vocab;
  for (const TokenId token : ids) {
    if (token < 0 || token >= n_vocab) {
      return Status(Cause::invalid_argument,
                    "the vocabulary has ids from 0 to " + std::to_string(n_vocab - 1),
                    "token " + std::to_string(token));
    }
  }
  return {};
}

Status Session::Impl::check_source(std::span<const TokenId> ids) const {
  if (!model->config().has_encoder()) {
    return Status(Cause::unsupported, "the model has no encoder that could read a source");
  }
  if (ids.empty()) return Status(Cause::invalid_argument, "a source has at least one token");
  if (ids.size() > static_cast<size_t>(options.n_ctx)) {
    return Status(Cause::context_full, "a source of " + std::to_string(ids.size()) +
                                           " tokens does not fit the context of " +
                                           std::to_string(options.n_ctx) +
                                           "; shorten the text, or choose a larger --ctx-size");
  }
  return check_tokens(ids);
}

// `n_kept` tokens stay and `added` come: do they fit, and are they tokens?
Status Session::Impl::check_room(std::span<const TokenId> added, size_t n_kept) const {
  if (added.empty()) return Status(Cause::invalid_argument, "there are no tokens to append");
  if (model->config().has_encoder() && source.empty()) {
    return Status(Cause::invalid_argument,
                  "the model has an encoder, which must read a source before there is an answer");
  }
  const size_t needed = n_kept + added.size();
  if (needed > static_cast<size_t>(options.n_ctx)) {
    return Status(Cause::context_full, std::to_string(needed) +
                                           " tokens do not fit the context of " +
                                           std::to_string(options.n_ctx) +
                                           "; shorten the text, or choose a larger --ctx-size");
  }
  return check_tokens(added);
}

// One forward pass; the last `n_wanted` rows get logits.
Status Session::Impl::step(std::span<const TokenId> added, int32_t n_wanted,
                           ForwardObserver* observer) {
  const auto n = static_cast<int32_t>(added.size());
  rows.clear();
  for (int32_t i = 0; i < n; ++i) {
    rows.push_back({added[static_cast<size_t>(i)], n_tokens() + i, 0, i >= n - n_wanted});
  }
  has_logits = false;
  SequenceState* const sequences[] = {state.get()};
  if (Status s = forward->run(rows, sequences, &is_cancelled, observer); !s.ok()) {
    return s.cause() == Cause::cancelled ? report_cancel() : s;
  }
  tokens.insert(tokens.end(), added.begin(), added.end());
  has_logits = n_wanted > 0;
  last_logits = n_wanted - 1;
  return {};
}

// The cancellation is answered; the next call starts afresh.
Status Session::Impl::report_cancel() {
  is_cancelled.store(false, std::memory_order_relaxed);
  has_logits = false;
  return Status(Cause::cancelled,
                "stopped after " + std::to_string(n_tokens()) + " tokens of the context");
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() { impl_->kept_use.save(); }

Result<SessionOptions> Session::resolve(const Model& model, const SessionOptions& options) try {
  return fill_in(options, model);
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<RamBudget> Session::plan(const Model& model, const SessionOptions& options) try {
  const Result<SessionOptions> resolved = fill_in(options, model);
  if (!resolved) return resolved.status();
  const Result<const quant::KernelSet*> kernels = choose_kernels(resolved->isa);
  if (!kernels) return kernels.status();
  Result<RamBudget> budget = plan_ram(model, residence_options(model, *resolved, *kernels));
  if (!budget) return budget.status().with_file(model.file().path());
  return budget;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options,
                                                 const LoadProgress& loading) try {
  Result<SessionOptions> resolved = fill_in(options, *model);
  if (!resolved) return resolved.status();
  const Result<const quant::KernelSet*> kernels = choose_kernels(resolved->isa);
  if (!kernels) return kernels.status();
  Result<RamBudget> ram = plan(*model, *resolved);
  if (!ram) return ram.status();

  ResidenceOptions with = residence_options(*model, *resolved, *kernels);
  Result<std::unique_ptr<SequenceState>> state =
      SequenceState::create(model->config(), with.n_ctx, with.cache, with.forward.max_rows);
  if (!state) return state.status();
  Result<Residence> residence = take_residence(std::move(model), *ram, loading);
  if (!residence) return residence.status();
  with.forward.experts = residence->experts;
  Result<std::unique_ptr<Forward>> forward = Forward::create(residence->model, with.forward);
  if (!forward) return forward.status();
  // After the buffers, which live beside the threads' stacks.
  if (Status s = check_threads(resolved->n_threads); !s.ok()) return s;

  try {
    auto impl = std::make_unique<Impl>();
    impl->tokens.reserve(static_cast<size_t>(resolved->n_ctx));
    impl->rows.reserve(static_cast<size_t>(resolved->batch_size));
    impl->model = std::move(residence->model);
    impl->experts = std::move(residence->experts);
    impl->ram = std::move(*ram);
    impl->options = *resolved;
    impl->kernels = *kernels;
    impl->forward = std::move(*forward);
    impl->state = std::move(*state);
    if (impl->model->config().has_encoder()) {
      impl->source.reserve(static_cast<size_t>(resolved->n_ctx));
      impl->rows.reserve(static_cast<size_t>(resolved->n_ctx));
    }
    impl->kept_use.load(resolved->profile_folder, impl->model->file(), impl->experts);
    return std::unique_ptr<Session>(new Session(std::move(impl)));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "a context of " + std::to_string(resolved->n_ctx) +
                                            " tokens does not fit; choose a smaller --ctx-size");
  }
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status Session::encode(std::span<const TokenId> source, ForwardObserver* observer) try {
  Impl& impl = *impl_;
  if (Status s = impl.check_source(source); !s.ok()) return s;
  impl.rows.clear();
  for (const TokenId token : source) {
    impl.rows.push_back({token, static_cast<int32_t>(impl.rows.size()), 0, false});
  }
  impl.has_logits = false;
  SequenceState* const sequences[] = {impl.state.get()};
  if (Status s = impl.forward->encode(impl.rows, sequences, &impl.is_cancelled, observer);
      !s.ok()) {
    if (impl.state->n_source() == 0) {
      impl.source.clear();
      impl.tokens.clear();
    }
    return s.cause() == Cause::cancelled ? impl.report_cancel() : s;
  }
  impl.source.assign(source.begin(), source.end());
  impl.tokens.clear();
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status Session::append(std::span<const TokenId> tokens, const Progress& progress,
                       ForwardObserver* observer) try {
  if (Status s = impl_->check_room(tokens, impl_->tokens.size()); !s.ok()) return s;
  const auto batch = static_cast<size_t>(impl_->options.batch_size);
  if (progress && !progress(0, static_cast<int32_t>(tokens.size()))) return impl_->report_cancel();
  for (size_t done = 0; done < tokens.size();) {
    if (impl_->is_cancelled.load(std::memory_order_relaxed)) return impl_->report_cancel();
    const size_t n = std::min(batch, tokens.size() - done);
    const bool is_last = done + n == tokens.size();
    if (Status s = impl_->step(tokens.subspan(done, n), is_last ? 1 : 0, observer); !s.ok()) {
      return s;
    }
    done += n;
    if (progress && !progress(static_cast<int32_t>(done), static_cast<int32_t>(tokens.size()))) {
      return impl_->report_cancel();
    }
  }
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

int32_t Session::n_reusable(std::span<const TokenId> tokens) const noexcept {
  if (tokens.empty()) return 0;
  const std::vector<TokenId>& held = impl_->tokens;
  const auto differing = std::mismatch(held.begin(), held.end(), tokens.begin(), tokens.end() - 1);
  return impl_->state->n_left_by_truncate(static_cast<int32_t>(differing.first - held.begin()));
}

Status Session::continue_as(std::span<const TokenId> tokens, const Progress& progress) try {
  const int32_t n_kept = n_reusable(tokens);
  const auto added = tokens.subspan(static_cast<size_t>(n_kept));
  if (Status s = impl_->check_room(added, static_cast<size_t>(n_kept)); !s.ok()) return s;
  truncate(n_kept);
  return append(added, progress);
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

int32_t Session::truncate(int32_t n_tokens) noexcept {
  assert(n_tokens >= 0 && n_tokens <= impl_->n_tokens());
  if (n_tokens == impl_->n_tokens()) return n_tokens;
  const int32_t n_left = impl_->state->truncate(n_tokens);
  impl_->tokens.resize(static_cast<size_t>(n_left));
  impl_->has_logits = false;
  return n_left;
}

std::span<const float> Session::logits() const noexcept {
  if (!impl_->has_logits) return {};
  if (impl_->last_logits == kHeldLogits) return impl_->held_logits;
  return {impl_->forward->logits(impl_->last_logits),
          static_cast<size_t>(impl_->model->config().n_vocab)};
}

Status Session::append_all_logits(std::span<const TokenId> tokens,
                                  const std::function<void(int32_t, std::span<const float>)>& each,
                                  ForwardObserver* observer) try {
  if (Status s = impl_->check_room(tokens, impl_->tokens.size()); !s.ok()) return s;
  const auto most = static_cast<size_t>(impl_->forward->options().max_logits);
  const auto n_vocab = static_cast<size_t>(impl_->model->config().n_vocab);
  for (size_t done = 0; done < tokens.size();) {
    if (impl_->is_cancelled.load(std::memory_order_relaxed)) return impl_->report_cancel();
    const size_t n = std::min(most, tokens.size() - done);
    const int32_t first = impl_->n_tokens();
    if (Status s = impl_->step(tokens.subspan(done, n), static_cast<int32_t>(n), observer);
        !s.ok()) {
      return s;
    }
    for (int32_t i = 0; i < static_cast<int32_t>(n); ++i) {
      each(first + i, {impl_->forward->logits(i), n_vocab});
    }
    done += n;
  }
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status Session::hold(const HeldTokens& held,
                     const std::function<Status(SequenceState&)>& fill) try {
  Impl& impl = *impl_;
  const auto room = static_cast<size_t>(impl.options.n_ctx);
  if (held.tokens.size() > room || held.source.size() > room)
    return Status(Cause::context_full, std::to_string(held.tokens.size()) +
                                           " tokens do not fit the context of " +
                                           std::to_string(impl.options.n_ctx));
  if (Status s = impl.check_tokens(held.tokens); !s.ok()) return s;
  if (Status s = impl.check_tokens(held.source); !s.ok()) return s;
  if (!held.logits.empty() &&
      (held.tokens.empty() ||
       held.logits.size() != static_cast<size_t>(impl.model->config().n_vocab)))
    return Status(Cause::invalid_argument, "logits that belong to no token of this model");
  std::vector<float> logits(held.logits.begin(), held.logits.end());

  impl.has_logits = false;
  impl.tokens.clear();
  impl.source.clear();
  Status filled;
  try {
    filled = fill(*impl.state);
  } catch (const std::bad_alloc&) {
    filled = Status::out_of_memory();
  }
  if (filled.ok() && (static_cast<size_t>(impl.state->n_positions()) != held.tokens.size() ||
                      static_cast<size_t>(impl.state->n_source()) != held.source.size()))
    filled = Status(Cause::invalid_argument, "a cache of other tokens");
  if (!filled.ok()) {
    impl.state->hold_source(0);
    return filled;
  }
  impl.tokens.assign(held.tokens.begin(), held.tokens.end());
  impl.source.assign(held.source.begin(), held.source.end());
  impl.held_logits = std::move(logits);
  impl.has_logits = !impl.held_logits.empty();
  impl.last_logits = kHeldLogits;
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::unique_ptr<Session>> Session::copy(const LoadProgress& loading) const {
  auto copied = create(impl_->model, impl_->options, loading);
  if (!copied) return copied;
  const Status held =
      (*copied)->hold({impl_->tokens, impl_->source, logits()}, [this](SequenceState& state) {
        state.copy_from(*impl_->state);
        return Status();
      });
  if (!held.ok()) return held;
  return copied;
}

const SequenceState& Session::state() const noexcept { return *impl_->state; }
const std::vector<TokenId>& Session::tokens() const noexcept { return impl_->tokens; }
const std::vector<TokenId>& Session::source() const noexcept { return impl_->source; }
int32_t Session::n_ctx() const noexcept { return impl_->options.n_ctx; }
const Model& Session::model() const noexcept { return *impl_->model; }
const SessionOptions& Session::options() const noexcept { return impl_->options; }
const char* Session::isa() const noexcept { return impl_->kernels->name; }
size_t Session::bytes() const noexcept { return impl_->forward->bytes() + impl_->state->bytes(); }
const RamBudget& Session::ram() const noexcept { return impl_->ram; }
const std::string& Session::profile_note() const noexcept { return impl_->kept_use.note(); }

std::optional<ExpertStatistics> Session::expert_statistics() const {
  return impl_->experts ? impl_->experts->statistics() : std::nullopt;
}
void Session::cancel() noexcept { impl_->is_cancelled.store(true, std::memory_order_relaxed); }
void Session::forget_cancel() noexcept {
  impl_->is_cancelled.store(false, std::memory_order_relaxed);
}

}  // namespace larder::runtime
