// What an engine holds, and how it gets on: which items run, on which sequences, and what of them
// is in the next pass.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/session/engine.h"
#include "runtime/session/engine_branch.h"
#include "runtime/session/engine_plan.h"
#include "runtime/session/kept_use.h"
#include "runtime/session/pass_reader.h"

namespace larder::runtime {

// A branch on its sequence.
struct EngineLane {
  std::unique_ptr<Branch> branch;
  std::shared_ptr<CachePool::Lease> lease;
  int32_t n_rows = 0;  // in the present pass

  int32_t position() const noexcept { return lease->state().n_positions(); }
  int32_t n_left() const noexcept { return branch->end() - position(); }
};

enum class EngineStage : uint8_t { idle, pass, handing_out };

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

  Status advance();
  Status fill_pass();
  void give_rows(EngineLane& lane, int32_t& n_free) noexcept;
  Result<bool> start_lane();
  Result<bool> start(Branch& branch, std::shared_ptr<CachePool::Lease>& lease);
  void plan_pending();
  void break_up_waiting();
  Status read_source(const Branch& branch, SequenceState& state);
  Status run_pass();
  Status run(std::span<EngineLane* const> some);
  void settle(EngineLane& lane);
  void end_prompt(EngineLane& lane);
  void fail(EngineLane& lane, const Status& status);
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
  std::vector<EngineLane> lanes;
  std::vector<EngineLane*> chosen;     // of a pass
  std::vector<EngineResult> finished;  // with room for all that are held, too

  std::vector<TokenRow> rows;  // of a pass
  std::vector<SequenceState*> sequences;
  PassReader reader;
  EngineStatistics statistics;
  EngineStage stage = EngineStage::idle;  // of advance()
  std::atomic<bool> is_cancelled{false};
};

}  // namespace larder::runtime
