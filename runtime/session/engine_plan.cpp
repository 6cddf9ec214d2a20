#include "runtime/session/engine_plan.h"

#include <algorithm>
#include <iterator>

#include "quant/parallel.h"
#include "runtime/session/session_options.h"

namespace larder::runtime {
namespace {

constexpr int32_t kRows = 512;
constexpr int32_t kFewerRows[] = {128, 32};  // where memory is short
// Where experts are paged: the more rows, the less often is each expert read. Beyond, reading is no
// longer what a pass waits for.
constexpr int32_t kPagedRows[] = {4096, 2048, 1024};
// Head and logits are computed for so many rows at a time; one at least.
constexpr int64_t kLogitsBytes = int64_t{64} << 20;
// Caches hold the longest item, and so many of the length of a pass, as far as that is no more than
// kMostExtraBytes.
constexpr int32_t kExtraPasses[] = {16, 4, 1};
constexpr uint64_t kMostExtraBytes = uint64_t{2} << 30;

class Planner {
 public:
  Planner(const Model& model, const EngineOptions& options, const SessionOptions& session,
          const quant::KernelSet* kernels)
      : model_(model), options_(options), session_(session), kernels_(kernels) {}

  Result<EnginePlan> plan() const {
    if (options_.batch_size > 0) return plan_caches(options_.batch_size);
    Result<EnginePlan> base = plan_caches(kRows);
    for (const int32_t fewer : kFewerRows) {
      if (base) break;
      base = plan_caches(fewer);
    }
    if (!base || !base->budget.is_paged) return base;
    for (const int32_t more : kPagedRows) {
      Result<EnginePlan> plan = plan_with(more, base->residence.cache_bytes);
      if (plan && is_balanced(*plan)) return plan;
    }
    return base;
  }

 private:
  Result<EnginePlan> plan_caches(int32_t rows) const {
    if (options_.cache_bytes > 0) return plan_with(rows, options_.cache_bytes);
    const CachePool::Kind kind = kind_of(rows);
    const uint64_t longest = CachePool::bytes_for(model_.config(), kind, session_.n_ctx);
    const uint64_t extra =
        CachePool::bytes_for(model_.config(), kind, std::min(rows, session_.n_ctx));
    const auto bytes_with = [&](int32_t n) {
      const auto most = static_cast<int32_t>(std::min<uint64_t>(kMostExtraBytes / extra, 1 << 10));
      return longest + static_cast<uint64_t>(std::min(n, most)) * extra;
    };
    for (const int32_t n : kExtraPasses) {
      Result<EnginePlan> plan = plan_with(rows, bytes_with(n));
      if (plan && !plan->budget.is_paged) return plan;
    }
    // An eighth of what there is goes to caches, where the longest item leaves so much.
    for (const int32_t n : kExtraPasses) {
      Result<EnginePlan> plan = plan_with(rows, bytes_with(n));
      if (plan && plan->residence.cache_bytes <= plan->budget.limit_bytes / 8) return plan;
    }
    return plan_with(rows, longest);
  }

  CachePool::Kind kind_of(int32_t rows) const {
    return {{*session_.cache_k, *session_.cache_v}, rows};
  }

  Result<EnginePlan> plan_with(int32_t rows, uint64_t cache_bytes) const {
    EnginePlan plan;
    plan.options = session_;
    plan.options.batch_size = rows;
    plan.cache = kind_of(rows);
    const int64_t n_logits = kLogitsBytes / (int64_t{model_.config().n_vocab} * sizeof(float));
    ResidenceOptions& with = plan.residence;
    with.forward = forward_options(plan.options, kernels_);
    with.forward.max_logits = static_cast<int32_t>(std::clamp<int64_t>(n_logits, 1, rows));
    with.n_ctx = session_.n_ctx;
    with.n_samplers = session_.n_threads;
    with.cache = plan.cache.types;
    with.cache_bytes = std::max(cache_bytes, static_cast<uint64_t>(CachePool::bytes_for(
                                                 model_.config(), plan.cache, session_.n_ctx)));
    with.ram_bytes = session_.ram_bytes;
    Result<RamBudget> budget = plan_ram(model_, with);
    if (!budget) return budget.status().with_file(model_.file().path());
    plan.budget = *budget;
    return plan;
  }

  // Buffers of so many rows leave experts three quarters of what is no weight of every token. The
  // fewest rows are worth more, as long as the slab holds what is computed with and something of
  // what is read meanwhile. Measured, 12 layers of Qwen3-30B-A3B in a quarter of their size: 594
  // tokens a second scored with 1024 rows and 1.6 least slabs, 472 with 512 rows and 3.7, 616 with
  // all in RAM.
  static bool is_balanced(const EnginePlan& plan) {
    const RamNeeds& needs = plan.budget.needs;
    const uint64_t slab = plan.budget.expert_bytes;
    const bool has_fewest = plan.options.batch_size == kPagedRows[std::size(kPagedRows) - 1];
    return needs.buffer_bytes <= (needs.buffer_bytes + slab) / 4 ||
           (has_fewest && slab >= needs.least_slab_bytes / 2 * 3);
  }

  const Model& model_;
  const EngineOptions& options_;
  const SessionOptions& session_;
  const quant::KernelSet* kernels_;
};

}  // namespace

Result<EnginePlan> plan_engine(const Model& model, const EngineOptions& options) {
  SessionOptions session = options.session;
  session.batch_size = options.batch_size == 0 ? 1 : options.batch_size;
  // Unlike decoded tokens, rows of a pass are work enough for all.
  if (session.n_threads == 0) session.n_threads = quant::default_threads();
  const Result<SessionOptions> filled_in = fill_in(session, model);
  if (!filled_in) return filled_in.status();
  if (options.max_items < 0)
    return Status(Cause::invalid_argument, "an engine holds one item at least");
  const Result<const quant::KernelSet*> kernels = choose_kernels(filled_in->isa);
  if (!kernels) return kernels.status();
  return Planner(model, options, *filled_in, *kernels).plan();
}

}  // namespace larder::runtime
