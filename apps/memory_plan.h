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
  uint64_t expert_bytes = 0;   // mapped from the file
  uint64_t other_bytes = 0;    // the other weights, mapped as well
  uint64_t cache_bytes = 0;    // keys and values for n_ctx tokens
  uint64_t carried_bytes = 0;  // states that layers carry, whatever n_ctx is
  uint64_t buffer_bytes = 0;   // of the forward pass
  uint64_t total_bytes() const noexcept {
    return expert_bytes + other_bytes + cache_bytes + carried_bytes + buffer_bytes;
  }
};

MemoryPlan plan_memory(const runtime::Session& session);

formats::DataValue to_data(const MemoryPlan& plan);
std::string to_text(const MemoryPlan& plan);

}  // namespace larder::apps
