// How an engine divides memory: rows of a pass, caches of sequences, and what is left for experts.
#pragma once

#include "formats/status.h"
#include "runtime/experts/ram_budget.h"
#include "runtime/session/cache_pool.h"
#include "runtime/session/engine.h"
#include "runtime/session/residence.h"

namespace larder::runtime {

struct EnginePlan {
  SessionOptions options;  // with defaults filled in; batch_size: rows of a pass
  ResidenceOptions residence;
  RamBudget budget;
  CachePool::Kind cache;
};

// Errors: `invalid_argument`, `budget`.
Result<EnginePlan> plan_engine(const Model& model, const EngineOptions& options);

}  // namespace larder::runtime
