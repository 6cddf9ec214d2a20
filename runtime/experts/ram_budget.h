// What a running model takes of memory, part by part, and what a limit leaves for routed experts.
// Accounted before anything is loaded, by what later allocates.
#pragma once

#include <cstdint>
#include <functional>

#include "formats/status.h"

namespace larder::runtime {

// What does not depend on the limit.
struct RamNeeds {
  uint64_t program_bytes = 0;  // the program, libraries, the file's header, tokenizer, samplers
  uint64_t dense_bytes = 0;    // weights that every token may need
  uint64_t cache_bytes = 0;    // keys and values
  uint64_t buffer_bytes = 0;   // of the forward pass
  uint64_t fixed_bytes() const noexcept {
    return program_bytes + dense_bytes + cache_bytes + buffer_bytes;
  }

  uint64_t all_expert_bytes = 0;  // as the file has them; 0: the model has no routed experts
  uint64_t least_slab_bytes = 0;  // what one layer of one token needs
  uint64_t cycle_bytes = 0;       // what all layers of one token use
  // Of a store with this slab, beside the slab.
  std::function<uint64_t(uint64_t slab_bytes)> table_bytes;
};

struct RamBudget {
  RamNeeds needs;
  bool is_paged = false;      // else the file is mapped, and memory holds it all
  uint64_t limit_bytes = 0;   // UINT64_MAX: none
  uint64_t table_bytes = 0;   // where paged: of the store and its reads
  uint64_t expert_bytes = 0;  // the slab, or all
  uint64_t floor_bytes = 0;   // the least limit; 0 without routed experts

  uint64_t total_bytes() const noexcept { return needs.fixed_bytes() + table_bytes + expert_bytes; }
  double cached_share() const noexcept {
    return needs.all_expert_bytes == 0
               ? 1
               : static_cast<double>(expert_bytes) / static_cast<double>(needs.all_expert_bytes);
  }
};

// Error: `budget`, saying what is needed and what would lower it.
Result<RamBudget> divide_ram(const RamNeeds& needs, uint64_t limit_bytes);

}  // namespace larder::runtime
