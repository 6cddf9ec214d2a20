// What a model needs while it runs: the resolved layers, and the RAM that each part takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/template/value.h"
#include "runtime/session/session.h"

namespace larder::apps {

// Neighbouring layers that are alike, counted in their own stack.
struct LayerRun {
  std::string stack;  // "layers", or "encoder", "decoder" where there are two
  int32_t first = 0, last = 0;
  std::string description;
};

struct MemoryPlan {
  std::vector<LayerRun> layers;
  int32_t n_ctx = 0;
  bool is_paged = false;
  uint64_t expert_bytes = 0;   // mapped from the file; where paged: of those in memory at a time
  uint64_t other_bytes = 0;    // the other weights, mapped as well; where paged: read once
  uint64_t cache_bytes = 0;    // keys and values for n_ctx tokens
  uint64_t carried_bytes = 0;  // states that layers carry, whatever n_ctx is
  uint64_t buffer_bytes = 0;   // of the forward pass
  uint64_t program_bytes = 0;  // all else, tables of paging included
  uint64_t floor_bytes = 0;    // the least --ram
  double cached_share = 1;     // of the experts
  // What a token reads from the disk, after some hundred, as other models' experts are used.
  uint64_t read_bytes_per_token = 0;
  uint64_t total_bytes() const noexcept {
    return expert_bytes + other_bytes + cache_bytes + carried_bytes + buffer_bytes + program_bytes;
  }
};

// What a session with these options would take. Errors: `invalid_argument`, `budget`.
Result<MemoryPlan> plan_memory(const runtime::Model& model, const runtime::SessionOptions& options);

formats::DataValue to_data(const MemoryPlan& plan);
std::string to_text(const MemoryPlan& plan);

}  // namespace larder::apps
