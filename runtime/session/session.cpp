#include "runtime/session/session.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "runtime/session/kept_use.h"
#include "runtime/session/sequence_state.h"
#include "runtime/session/session_options.h"
#include "runtime/session/token_checks.h"

namespace larder::runtime {
namespace {

using formats::TokenId;

// Logits of all positions are computed in steps whose logits fit this; one position at least.
constexpr int64_t kLogitsBytes = int64_t{32} << 20;

// A session's options with defaults filled in, and what they take.
struct SessionPlan {
  SessionOptions options;
  const quant::KernelSet* kernels = nullptr;
  ResidenceOptions residence;
  RamBudget ram;
};

Result<SessionPlan> prepare(const Model& model, const SessionOptions& asked) {
  const Result<SessionOptions> options = fill_in(asked, model);
  if (!options) return options.status();
  const Result<const quant::KernelSet*> kernels = choose_kernels(options->isa);
  if (!kernels) return kernels.status();
  SessionPlan plan = {*options, *kernels, {}, {}};
  const int64_t n_logits = kLogitsBytes / (int64_t{model.config().n_vocab} * sizeof(float));
  ResidenceOptions& with = plan.residence;
  with.forward = forward_options(plan.options, plan.kernels);
  with.forward.max_logits =
      static_cast<int32_t>(std::clamp<int64_t>(n_logits, 1, plan.options.batch_size));
  with.n_ctx = plan.options.n_ctx;
  with.cache = {*plan.options.cache_k, *plan.options.cache_v};
  with.ram_bytes = plan.options.ram_bytes;
  return plan;
}

Result<SessionPlan> plan_session(const Model& model, const SessionOptions& asked) {
  Result<SessionPlan> plan = prepare(model, asked);
  if (!plan) return plan;
  Result<RamBudget> ram = plan_ram(model, plan->residence);
  if (!ram) return ram.status().with_file(model.file().path());
  plan->ram = std::move(*ram);
  return plan;
}

Result<std::unique_ptr<SequenceState>> create_state(const Model& model, const SessionPlan& plan) {
  const ResidenceOptions& with = plan.residence;
  return SequenceState::create(model.config(), with.n_ctx, with.cache, with.forward.max_rows);
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
  Status check_room(std::span<const TokenId> added, size_t n_kept) const;
  Status step(std::span<const TokenId> added, int32_t n_wanted, ForwardObserver* observer);
  Status report_cancel();
  static Result<std::unique_ptr<Impl>> create(SessionPlan plan,
                                              std::unique_ptr<SequenceState> state,
                                              Residence residence);

  KeptUse kept_use;
};

// `n_kept` tokens stay and `added` come: do they fit, and are they tokens?
Status Session::Impl::check_room(std::span<const TokenId> added, size_t n_kept) const {
  if (added.empty()) return Status(Cause::invalid_argument, "there are no tokens to append");
  if (Status s = check_has_source(source, model->config()); !s.ok()) return s;
  if (Status s = check_fits(n_kept + added.size(), options.n_ctx); !s.ok()) return s;
  return check_ids(added, model->config());
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
  const Result<SessionPlan> plan = plan_session(model, options);
  if (!plan) return plan.status();
  return plan->ram;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options,
                                                 const LoadProgress& loading) try {
  Result<SessionPlan> plan = plan_session(*model, options);
  if (!plan) return plan.status();
  Result<std::unique_ptr<SequenceState>> state = create_state(*model, *plan);
  if (!state) return state.status();
  Result<Residence> residence = take_residence(std::move(model), plan->ram, loading);
  if (!residence) return residence.status();
  auto impl = Impl::create(std::move(*plan), std::move(*state), std::move(*residence));
  if (!impl) return impl.status();
  (*impl)->kept_use.load((*impl)->options.profile_folder, (*impl)->model->file(), (*impl)->experts);
  return std::unique_ptr<Session>(new Session(std::move(*impl)));
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::unique_ptr<Session::Impl>> Session::Impl::create(SessionPlan plan,
                                                             std::unique_ptr<SequenceState> state,
                                                             Residence residence) {
  plan.residence.forward.experts = residence.experts;
  Result<std::unique_ptr<Forward>> forward =
      Forward::create(residence.model, plan.residence.forward);
  if (!forward) return forward.status();
  // After the buffers, which live beside the threads' stacks.
  if (Status s = check_threads(plan.options.n_threads); !s.ok()) return s;
  const int32_t n_ctx = plan.options.n_ctx;
  try {
    auto impl = std::make_unique<Impl>();
    const auto most_tokens = static_cast<size_t>(n_ctx);
    impl->tokens.reserve(most_tokens);
    impl->rows.reserve(static_cast<size_t>(plan.options.batch_size));
    impl->model = std::move(residence.model);
    impl->experts = std::move(residence.experts);
    impl->ram = std::move(plan.ram);
    impl->options = std::move(plan.options);
    impl->kernels = plan.kernels;
    impl->forward = std::move(*forward);
    impl->state = std::move(state);
    if (impl->model->config().has_encoder()) {
      impl->source.reserve(most_tokens);
      impl->rows.reserve(most_tokens);
    }
    return impl;
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "a context of " + std::to_string(n_ctx) +
                                            " tokens does not fit; choose a smaller --ctx-size");
  }
}

Status Session::encode(std::span<const TokenId> source, ForwardObserver* observer) try {
  Impl& impl = *impl_;
  if (Status s = check_source(source, impl.model->config(), impl.options.n_ctx); !s.ok()) return s;
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
  const ModelConfig& config = impl.model->config();
  for (const std::span<const TokenId> ids : {held.tokens, held.source}) {
    if (Status s = check_fits(ids.size(), impl.options.n_ctx); !s.ok()) return s;
    if (Status s = check_ids(ids, config); !s.ok()) return s;
  }
  if (!held.logits.empty() &&
      (held.tokens.empty() || held.logits.size() != static_cast<size_t>(config.n_vocab)))
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

Result<std::unique_ptr<Session>> Session::copy() const try {
  Result<SessionPlan> plan = prepare(*impl_->model, impl_->options);
  if (!plan) return plan.status();
  plan->ram = impl_->ram;
  auto state = create_state(*impl_->model, *plan);
  if (!state) return state.status();
  auto impl = Impl::create(std::move(*plan), std::move(*state), {impl_->model, impl_->experts});
  if (!impl) return impl.status();
  std::unique_ptr<Session> copied(new Session(std::move(*impl)));
  const Status held =
      copied->hold({impl_->tokens, impl_->source, logits()}, [this](SequenceState& to) {
        to.copy_from(*impl_->state);
        return Status();
      });
  if (!held.ok()) return held;
  return copied;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
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
  if (!impl_->experts) return std::nullopt;
  const PassTurns::Turn turn = impl_->experts->turns().take();
  return impl_->experts->statistics();
}
void Session::cancel() noexcept { impl_->is_cancelled.store(true, std::memory_order_relaxed); }
void Session::forget_cancel() noexcept {
  impl_->is_cancelled.store(false, std::memory_order_relaxed);
}

}  // namespace larder::runtime
