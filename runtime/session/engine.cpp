#include "runtime/session/engine.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <string>
#include <utility>

#include "runtime/session/engine_impl.h"
#include "runtime/session/session_options.h"

namespace larder::runtime {
namespace {

template <class T>
void make_room(std::vector<T>& in, size_t n_more) {
  const size_t n = in.size() + n_more;
  if (in.capacity() < n) in.reserve(std::max(2 * in.capacity(), n));
}

}  // namespace

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
  Impl& impl = *impl_;
  assert(has_room() && impl.stage != EngineStage::pass);
  if (Status s = HeldItem::check(item, *impl.model, n_ctx()); !s.ok()) return s;
  auto held = std::make_unique<HeldItem>(std::move(item), *impl.model, n_ctx());
  held->slot = impl.held.size();
  make_room(impl.pending, 1);
  make_room(impl.finished, impl.held.size() + 1);  // behind what is being handed out
  impl.held.push_back(std::move(held));
  impl.pending.push_back(impl.held.back().get());
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status Engine::advance(const std::function<void(EngineResult&&)>& finished) try {
  Impl& impl = *impl_;
  if (impl.stage != EngineStage::idle)
    return Status(Cause::invalid_argument, "advance() was called from inside of itself");
  struct Idle {
    EngineStage& stage;
    ~Idle() { stage = EngineStage::idle; }
  } const idle_at_last{impl.stage};
  impl.stage = EngineStage::pass;
  const Status status = impl.advance();
  impl.stage = EngineStage::handing_out;
  impl.hand_out(finished);
  return status;
} catch (const std::bad_alloc&) {  // of `finished`
  return Status::out_of_memory();
}

void Engine::clear() noexcept {
  assert(impl_->stage != EngineStage::pass);
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
