#include "runtime/session/engine.h"

#include <algorithm>
#include <cassert>
#include <deque>
#include <new>
#include <string>
#include <utility>

#include "runtime/session/engine_branch.h"
#include "runtime/session/engine_plan.h"
#include "runtime/session/kept_use.h"
#include "runtime/session/pass_reader.h"
#include "runtime/session/session_options.h"

namespace larder::runtime {
namespace {

using formats::TokenId;

// A branch on its sequence.
struct Lane {
  std::unique_ptr<Branch> branch;
  std::shared_ptr<CachePool::Lease> lease;
  int32_t n_rows = 0;  // in the present pass

  int32_t position() const noexcept { return lease->state().n_positions(); }
  int32_t n_left() const noexcept { return branch->end() - position(); }
};

}  // namespace

// Invariant: every held item is pending, or in exactly one path of branches: of roots, waiting or
// lanes; or it is finished. An item that fails is alone in its branch.
struct Engine::Impl {
  Impl(std::shared_ptr<const Model> of, const EnginePlan& with, const EngineOptions& asked)
      : model(std::move(of)),
        plan(with),
        max_items(static_cast<size_t>(asked.max_items > 0 ? asked.max_items : kEngineItems)),
        shares_prefixes(asked.shares_prefixes),
        reader(model->config().n_vocab, with.options.batch_size, with.options.n_threads) {
    const auto n_rows = static_cast<size_t>(
        model->config().has_encoder() ? std::max(plan.options.batch_size, plan.options.n_ctx)
                                      : plan.options.batch_size);
    rows.reserve(n_rows);
    const auto n_lanes = static_cast<size_t>(plan.options.batch_size);  // each has a row
    sequences.reserve(n_lanes);
    lanes.reserve(n_lanes);
    chosen.reserve(n_lanes);
  }

  Status fill_pass();
  void give_rows(Lane& lane, int32_t& n_free) noexcept;
  Result<bool> start_lane();
  Result<bool> start(Branch& branch, std::shared_ptr<CachePool::Lease>& lease);
  void plan_pending();
  void break_up_waiting();
  Status read_source(const Branch& branch, SequenceState& state);
  Status run_pass();
  Status run(std::span<Lane* const> some);
  void settle(Lane& lane);
  void end_prompt(Lane& lane);
  void fail(Lane& lane, const Status& status);
  void finish(HeldItem& item, EngineResult result) noexcept;
  void hand_out(const std::function<void(EngineResult&&)>& to);
  void forget_branches() noexcept;
  void fail_all() noexcept;

  std::shared_ptr<const Model> model;
  EnginePlan plan;
  const size_t max_items;
  const bool shares_prefixes;
  std::shared_ptr<ExpertStore> experts;  // null where the file is mapped
  std::unique_ptr<Forward> forward;
  KeptUse kept_use;
  std::unique_ptr<CachePool> caches;  // outlives all leases

  std::vector<std::unique_ptr<HeldItem>> held;
  std::vector<HeldItem*> pending;               // in no branch yet
  std::deque<std::unique_ptr<Branch>> roots;    // with no sequence yet
  std::deque<std::unique_ptr<Branch>> waiting;  // to branch off from a sequence
  std::vector<Lane> lanes;
  std::vector<Lane*> chosen;           // of a pass
  std::vector<EngineResult> finished;  // with room for all that are held

  std::vector<TokenRow> rows;  // of a pass
  std::vector<SequenceState*> sequences;
  PassReader reader;
  EngineStatistics statistics;
  std::atomic<bool> is_cancelled{false};
};

// Lanes go on; where there is room for more rows, further branches get sequences.
Status Engine::Impl::fill_pass() {
  int32_t n_free = plan.options.batch_size;
  for (Lane& lane : lanes) lane.n_rows = 0;
  for (const bool generates : {true, false})
    for (Lane& lane : lanes)
      if (lane.branch->generates == generates) give_rows(lane, n_free);
  while (n_free > 0) {
    Result<bool> started = start_lane();
    if (started && !*started && lanes.empty() && !waiting.empty()) {
      break_up_waiting();
      started = start_lane();
    }
    if (!started) return started.status();
    if (!*started) break;
    give_rows(lanes.back(), n_free);
  }
  return {};
}

void Engine::Impl::give_rows(Lane& lane, int32_t& n_free) noexcept {
  lane.n_rows = std::min(n_free, lane.n_left());
  n_free -= lane.n_rows;
}

// False: there is nothing to start, or no memory for it at the moment.
Result<bool> Engine::Impl::start_lane() {
  const auto start_from = [&](std::deque<std::unique_ptr<Branch>>& from,
                              size_t at) -> Result<bool> {
    std::shared_ptr<CachePool::Lease> lease;
    const Result<bool> started = start(*from[at], lease);
    if (!started || !*started) return started;
    lanes.push_back({std::move(from[at]), std::move(lease)});
    from.erase(from.begin() + static_cast<ptrdiff_t>(at));
    return true;
  };
  for (size_t i = 0; i < waiting.size(); ++i) {
    const Result<bool> started = start_from(waiting, i);
    if (!started || *started) return started;
  }
  if (!waiting.empty()) return false;  // roots would take what it waits for
  if (roots.empty()) plan_pending();
  while (!roots.empty()) {
    const Result<bool> started = start_from(roots, 0);
    if (started) return started;
    if (started.status().cause() != Cause::numeric) return started;
    // the source could not be read: no item of it can be answered
    for (HeldItem* item : roots.front()->items) finish(*item, item->failure(started.status()));
    roots.pop_front();
  }
  return false;
}

// Gives the branch a sequence with all that comes before it.
Result<bool> Engine::Impl::start(Branch& branch, std::shared_ptr<CachePool::Lease>& lease) {
  if (branch.from && branch.from.use_count() == 1) {
    lease = std::move(branch.from);
    return true;
  }
  Result<std::shared_ptr<CachePool::Lease>> fresh = caches->lease(branch.capacity);
  if (!fresh) return fresh.status();
  if (!*fresh) return false;
  if (branch.from)
    (*fresh)->state().copy_from(branch.from->state());
  else if (Status s = read_source(branch, (*fresh)->state()); !s.ok())
    return s;
  branch.from.reset();
  lease = std::move(*fresh);
  return true;
}

Status Engine::Impl::read_source(const Branch& branch, SequenceState& state) {
  const std::span<const TokenId> source = branch.source();
  if (source.empty()) return {};
  rows.clear();
  for (size_t i = 0; i < source.size(); ++i)
    rows.push_back({source[i], static_cast<int32_t>(i), 0, false});
  SequenceState* const one[] = {&state};
  return forward->encode(rows, one, &is_cancelled);
}

void Engine::Impl::plan_pending() {
  for (std::unique_ptr<Branch>& root : plan_branches(pending, shares_prefixes))
    roots.push_back(std::move(root));
  for (HeldItem* item : pending)
    if (item->run().empty()) finish(*item, item->result());
  pending.clear();
}

// All memory is held by what waits for more: of those that wait for the same, the first stays where
// it is, and the others begin anew on their own.
void Engine::Impl::break_up_waiting() {
  const std::shared_ptr<CachePool::Lease> from = waiting.front()->from;
  bool is_first = true;
  std::deque<std::unique_ptr<Branch>> kept;
  for (std::unique_ptr<Branch>& branch : waiting) {
    if (branch->from != from || std::exchange(is_first, false)) {
      kept.push_back(std::move(branch));
      continue;
    }
    branch->from.reset();
    branch->begin = 0;
    roots.push_front(std::move(branch));
  }
  waiting = std::move(kept);
}

Status Engine::Impl::run_pass() {
  chosen.clear();
  for (Lane& lane : lanes)
    if (lane.n_rows > 0) chosen.push_back(&lane);
  if (chosen.empty()) return {};
  const Status status = run(chosen);
  if (!status.ok() && status.cause() != Cause::numeric) return status;
  Status fatal;
  for (Lane*& lane : chosen) {
    // Somebody's numbers are to blame: each on its own.
    Status own = status;
    if (!status.ok() && chosen.size() > 1) own = run(std::span(&lane, 1));
    if (own.ok()) {
      settle(*lane);
    } else if (own.cause() == Cause::numeric) {
      fail(*lane, own);
    } else {
      fatal = own;
      break;
    }
  }
  std::erase_if(lanes, [](const Lane& lane) { return !lane.branch; });
  return fatal;
}

Status Engine::Impl::run(std::span<Lane* const> some) {
  rows.clear();
  sequences.clear();
  reader.clear();
  uint64_t n_shared = 0;
  for (Lane* lane : some) {
    const auto sequence = static_cast<int32_t>(sequences.size());
    sequences.push_back(&lane->lease->state());
    const int32_t first = lane->position();
    for (int32_t p = first; p < first + lane->n_rows; ++p) {
      const bool wants_logits = lane->branch->wants(p);
      rows.push_back({lane->branch->token(p), p, sequence, wants_logits});
      if (wants_logits) reader.expect(*lane->branch, p);
    }
    n_shared += static_cast<uint64_t>(lane->n_rows) * (lane->branch->items.size() - 1);
  }
  if (Status s = forward->run(rows, sequences, &is_cancelled, nullptr, &reader); !s.ok()) return s;
  ++statistics.n_passes;
  statistics.n_rows += rows.size();
  statistics.n_shared_rows += n_shared;
  return {};
}

// What a pass has brought a lane. One that has come to its end loses its branch.
void Engine::Impl::settle(Lane& lane) {
  lane.n_rows = 0;
  if (lane.n_left() > 0) return;
  if (!lane.branch->generates) return end_prompt(lane);
  HeldItem& item = *lane.branch->items.front();
  item.take_chosen();
  if (!item.is_done()) return;
  lane.branch.reset();
  lane.lease.reset();
  finish(item, item.result());
}

void Engine::Impl::end_prompt(Lane& lane) {
  const std::unique_ptr<Branch> branch = std::move(lane.branch);
  const std::shared_ptr<CachePool::Lease> lease = std::move(lane.lease);
  for (std::unique_ptr<Branch>& child : branch->children) {
    child->from = lease;
    waiting.push_back(std::move(child));
  }
  for (HeldItem* item : branch->ending) {
    if (item->generates()) item->take_chosen();
    if (item->generates() && !item->is_done())
      waiting.push_back(generating_branch(*item, lease));
    else
      finish(*item, item->result());
  }
}

// Where several items share the lane, it is not known whose numbers they are.
void Engine::Impl::fail(Lane& lane, const Status& status) {
  const std::unique_ptr<Branch> branch = std::move(lane.branch);
  lane.lease.reset();
  if (branch->items.size() == 1) {
    HeldItem& item = *branch->items.front();
    return finish(item, item.failure(status));
  }
  for (HeldItem* item : branch->items) roots.push_front(whole_branch(*item));
}

void Engine::Impl::finish(HeldItem& item, EngineResult result) noexcept {
  finished.push_back(std::move(result));
  ++statistics.n_finished;
  const size_t slot = item.slot;
  std::swap(held[slot], held.back());
  held[slot]->slot = slot;
  held.pop_back();
}

void Engine::Impl::hand_out(const std::function<void(EngineResult&&)>& to) {
  std::vector<EngineResult> all;
  all.swap(finished);
  for (EngineResult& result : all) to(std::move(result));
  all.clear();
  all.swap(finished);  // keeps its room
}

void Engine::Impl::forget_branches() noexcept {
  lanes.clear();
  waiting.clear();
  roots.clear();
  pending.clear();
}

// Where memory ends in the middle of something, it is not known how far each item has come.
void Engine::Impl::fail_all() noexcept {
  forget_branches();
  while (!held.empty()) finish(*held.back(), held.back()->failure(Status::out_of_memory()));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() { impl_->kept_use.save(); }

Result<RamBudget> Engine::plan(const Model& model, const EngineOptions& options) try {
  const Result<EnginePlan> plan = plan_engine(model, options);
  if (!plan) return plan.status();
  return plan->budget;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const Model> model,
                                               const EngineOptions& options,
                                               const LoadProgress& loading) try {
  Result<EnginePlan> plan = plan_engine(*model, options);
  if (!plan) return plan.status();
  Result<Residence> residence = take_residence(std::move(model), plan->budget, loading);
  if (!residence) return residence.status();
  plan->residence.forward.experts = residence->experts;
  Result<std::unique_ptr<Forward>> forward =
      Forward::create(residence->model, plan->residence.forward);
  if (!forward) return forward.status();
  auto impl = std::make_unique<Impl>(std::move(residence->model), *plan, options);
  auto caches = CachePool::create(impl->model->config(), plan->cache, plan->residence.cache_bytes);
  if (!caches) return caches.status();
  if (Status s = check_threads(plan->options.n_threads); !s.ok()) return s;
  impl->experts = std::move(residence->experts);
  impl->forward = std::move(*forward);
  impl->caches = std::move(*caches);
  impl->kept_use.load(plan->options.profile_folder, impl->model->file(), impl->experts);
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

bool Engine::has_room() const noexcept { return impl_->held.size() < impl_->max_items; }
size_t Engine::n_held() const noexcept { return impl_->held.size(); }

Status Engine::submit(EngineItem item) try {
  assert(has_room());
  Impl& impl = *impl_;
  if (Status s = HeldItem::check(item, *impl.model, n_ctx()); !s.ok()) return s;
  auto held = std::make_unique<HeldItem>(std::move(item), *impl.model, n_ctx());
  held->slot = impl.held.size();
  impl.pending.reserve(impl.pending.size() + 1);
  impl.finished.reserve(impl.finished.size() + impl.held.size() + 1);
  impl.held.push_back(std::move(held));
  impl.pending.push_back(impl.held.back().get());
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status Engine::advance(const std::function<void(EngineResult&&)>& finished) try {
  Impl& impl = *impl_;
  Status status;
  if (!impl.is_cancelled.load(std::memory_order_relaxed)) {
    status = impl.fill_pass();
    if (status.ok()) status = impl.run_pass();
  }
  if (impl.is_cancelled.exchange(false, std::memory_order_relaxed) && status.ok())
    status = Status(Cause::cancelled, "cancelled");
  impl.hand_out(finished);
  return status;
} catch (const std::bad_alloc&) {
  impl_->fail_all();
  impl_->hand_out(finished);
  return {};
}

void Engine::clear() noexcept {
  impl_->forget_branches();
  impl_->held.clear();
  impl_->finished.clear();
}

const Model& Engine::model() const noexcept { return *impl_->model; }
const SessionOptions& Engine::options() const noexcept { return impl_->plan.options; }
int32_t Engine::n_ctx() const noexcept { return impl_->plan.options.n_ctx; }
const char* Engine::isa() const noexcept { return impl_->forward->options().kernels->name; }
size_t Engine::bytes() const noexcept { return impl_->forward->bytes() + impl_->caches->bytes(); }
const RamBudget& Engine::ram() const noexcept { return impl_->plan.budget; }
const std::string& Engine::profile_note() const noexcept { return impl_->kept_use.note(); }
const EngineStatistics& Engine::statistics() const noexcept { return impl_->statistics; }

std::optional<ExpertStatistics> Engine::expert_statistics() const {
  return impl_->experts ? impl_->experts->statistics() : std::nullopt;
}
void Engine::cancel() noexcept { impl_->is_cancelled.store(true, std::memory_order_relaxed); }
void Engine::forget_cancel() noexcept {
  impl_->is_cancelled.store(false, std::memory_order_relaxed);
}

}  // namespace larder::runtime
