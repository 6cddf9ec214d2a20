// Experts in a fixed slab of memory, read from the model's files when they are asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "formats/status.h"
#include "runtime/experts/expert_layout.h"
#include "runtime/experts/expert_store.h"
#include "runtime/experts/read_backend.h"
#include "runtime/experts/weight_files.h"
#include "runtime/model/model.h"

namespace larder::runtime {

struct PagedStoreOptions {
  uint64_t slab_bytes = 0;  // at least ExpertLayout::floor_bytes()
  // Null: the way of reading that a short probe of the disk chooses; for small models, whose reads
  // tell nothing about a disk, threads. A maker gets the number of reads that may be unanswered.
  std::function<Result<std::unique_ptr<ReadBackend>>(size_t capacity)> make_backend = nullptr;
  WeightFiles::Access access = WeightFiles::Access::direct;
  // Asked now and then while the store is made, where not null; false: `cancelled`.
  std::function<bool()> goes_on = nullptr;
};

// The slab is taken, and filled with zeros, here; later nothing is. Errors: `io`, `changed`,
// `unsupported` (a model that is no file), `out_of_memory`, `budget` (below the floor),
// `cancelled`. The model must outlive the store.
Result<std::shared_ptr<ExpertStore>> make_paged_expert_store(const Model& model,
                                                             const PagedStoreOptions& options);

// What a store with this slab holds beside the slab: tables and queues, and the stacks of threads.
uint64_t paged_store_table_bytes(const ExpertLayout& layout, uint64_t slab_bytes);

}  // namespace larder::runtime
