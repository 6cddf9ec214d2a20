#include "runtime/session/engine_impl.h"

#include <algorithm>
#include <new>
#include <utility>

namespace larder::runtime {

using formats::TokenId;

// One pass. Where memory ends in it, all that is held comes out failed.
Status Engine::Impl::advance() try {
  Status status;
  if (!is_cancelled.load(std::memory_order_relaxed)) {
    status = fill_pass();
    if (status.ok()) status = run_pass();
  }
  if (is_cancelled.exchange(false, std::memory_order_relaxed) && status.ok())
    status = Status(Cause::cancelled, "cancelled");
  return status;
} catch (const std::bad_alloc&) {
  fail_all();
  return {};
}

// Lanes go on; where there is room for more rows, further branches get sequences.
Status Engine::Impl::fill_pass() {
  int32_t n_free = plan.options.batch_size;
  for (EngineLane& lane : lanes) lane.n_rows = 0;
  for (const bool generates : {true, false})
    for (EngineLane& lane : lanes)
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

void Engine::Impl::give_rows(EngineLane& lane, int32_t& n_free) noexcept {
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
  for (EngineLane& lane : lanes)
    if (lane.n_rows > 0) chosen.push_back(&lane);
  if (chosen.empty()) return {};
  const Status status = run(chosen);
  if (!status.ok() && status.cause() != Cause::numeric) return status;
  Status fatal;
  for (EngineLane*& lane : chosen) {
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
  std::erase_if(lanes, [](const EngineLane& lane) { return !lane.branch; });
  return fatal;
}

Status Engine::Impl::run(std::span<EngineLane* const> some) {
  rows.clear();
  sequences.clear();
  reader.clear();
  uint64_t n_shared = 0;
  for (EngineLane* lane : some) {
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
void Engine::Impl::settle(EngineLane& lane) {
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

void Engine::Impl::end_prompt(EngineLane& lane) {
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
void Engine::Impl::fail(EngineLane& lane, const Status& status) {
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

// `to` may add to what is held, and forget what is finished. Where it throws, the others are handed
// out by the next call.
void Engine::Impl::hand_out(const std::function<void(EngineResult&&)>& to) {
  struct Told {
    std::vector<EngineResult>& all;
    size_t n = 0;
    ~Told() {
      all.erase(all.begin(), all.begin() + static_cast<ptrdiff_t>(std::min(n, all.size())));
    }
  } told{finished};
  while (told.n < finished.size()) {
    EngineResult result = std::move(finished[told.n++]);
    to(std::move(result));
  }
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

}  // namespace larder::runtime
