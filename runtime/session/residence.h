// Where a session's weights live: in the mapped file where memory holds it all, else within a
// budget of RAM, the routed experts paged.
#pragma once

#include <cstdint>
#include <memory>

#include "formats/status.h"
#include "runtime/experts/dense_weights.h"
#include "runtime/experts/expert_store.h"
#include "runtime/experts/ram_budget.h"
#include "runtime/forward/forward.h"
#include "runtime/model/model.h"
#include "runtime/session/sequence_state.h"

namespace larder::runtime {

inline constexpr uint64_t kAutoRam = 0;                // what is comfortable on this machine
inline constexpr uint64_t kUnlimitedRam = UINT64_MAX;  // the file is mapped whatever its size

// What a session will do with memory.
struct ResidenceOptions {
  ForwardOptions forward;
  int32_t n_ctx = 0;
  CacheTypes cache;
  int32_t n_samplers = 1;         // that choose from its logits
  uint64_t cache_bytes = 0;       // of all sequences; 0: of one of n_ctx positions
  uint64_t ram_bytes = kAutoRam;  // of the whole process
};

// Accounts for it without taking it. Error: `budget`. On kAutoRam a model without routed experts is
// mapped whatever its size.
Result<RamBudget> plan_ram(const Model& model, const ResidenceOptions& options);

struct Residence {
  std::shared_ptr<const Model> model;    // the one that was given, or it over weights of its own
  std::shared_ptr<ExpertStore> experts;  // null: where the model's file has them
};

// Loads what the budget says. Errors: `io`, `truncated`, `changed`, `out_of_memory`, `cancelled`.
Result<Residence> take_residence(std::shared_ptr<const Model> model, const RamBudget& budget,
                                 const LoadProgress& progress);

}  // namespace larder::runtime
