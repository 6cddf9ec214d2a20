#include "runtime/session/residence.h"

#include <algorithm>
#include <new>

#include "runtime/experts/available_memory.h"
#include "runtime/experts/expert_layout.h"
#include "runtime/experts/paged_expert_store.h"
#include "runtime/experts/weight_files.h"
#include "runtime/session/sampler.h"

namespace larder::runtime {
namespace {

// The program, its libraries and their heaps. Measured on Debian 12: 12 MiB with a small model
// open, 13 behind its first answers; twice that for what the system counts beside pages. At the
// floor of a model of 5 GB, a cgroup has 21 MiB left.
constexpr uint64_t kProgramBytes = uint64_t{28} << 20;
// What becomes of a header in tables of tokens, merges and tensors, by its bytes. Measured: 9 with
// the 151,936 tokens of Qwen3.
constexpr uint64_t kHeaderShare = 9;
// Of a stack: kernels that multiply 4 tokens take 112 KiB of it.
constexpr uint64_t kThreadBytes = 192 << 10;

uint64_t header_bytes(const formats::GgufFile& file, int shard) {
  uint64_t bytes = file.size_bytes();
  for (const formats::GgufTensor& tensor : file.tensors())
    if (tensor.shard == shard) bytes = std::min(bytes, tensor.file_offset);
  return bytes;
}

uint64_t add(uint64_t a, uint64_t b) noexcept { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

RamNeeds needs_of(const Model& model, const ResidenceOptions& options,
                  const std::shared_ptr<const ExpertLayout>& layout) {
  RamNeeds needs;
  const uint64_t samplers =
      static_cast<uint64_t>(options.n_samplers) * Sampler::bytes_for(model.config().n_vocab);
  needs.program_bytes = kProgramBytes + kHeaderShare * header_bytes(model.file(), 0) +
                        static_cast<uint64_t>(options.forward.n_threads) * kThreadBytes + samplers;
  needs.dense_bytes = DenseWeights::bytes_for(model.weights().dense);
  needs.cache_bytes = options.cache_bytes;
  if (needs.cache_bytes == 0)
    needs.cache_bytes = SequenceState::bytes_for(model.config(), options.n_ctx, options.cache,
                                                 options.forward.max_rows);
  needs.buffer_bytes = Forward::bytes_for(model, options.forward);
  if (layout->is_empty()) return needs;
  needs.all_expert_bytes = layout->file_bytes();
  needs.cycle_bytes = layout->cycle_bytes();
  needs.least_slab_bytes = layout->floor_bytes();
  needs.table_bytes = [layout](uint64_t slab_bytes) {
    return paged_store_table_bytes(*layout, slab_bytes);
  };
  return needs;
}

}  // namespace

Result<RamBudget> plan_ram(const Model& model, const ResidenceOptions& options) {
  try {
    const auto layout = std::make_shared<const ExpertLayout>(model.config(), model.weights());
    const RamNeeds needs = needs_of(model, options, layout);
    if (add(needs.cache_bytes, needs.buffer_bytes) == UINT64_MAX)
      return Status(Cause::out_of_memory, "no machine has memory for this context and batch");
    if (options.ram_bytes != kAutoRam) return divide_ram(needs, options.ram_bytes);
    if (layout->is_empty()) return divide_ram(needs, kUnlimitedRam);
    const AvailableMemory memory = available_memory();
    const uint64_t comfortable = comfortable_bytes(memory);
    if (comfortable == 0) return divide_ram(needs, kUnlimitedRam);
    Result<RamBudget> budget = divide_ram(needs, comfortable);
    if (budget) return budget;
    // Less comfortable, but it may run.
    return divide_ram(needs, std::min(memory.available_bytes, memory.limit_bytes));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory to plan with");
  }
}

Result<Residence> take_residence(std::shared_ptr<const Model> model, const RamBudget& budget,
                                 const LoadProgress& progress) {
  Residence residence;
  residence.model = std::move(model);
  if (!budget.is_paged) return residence;
  const Result<WeightFiles> files = WeightFiles::open(residence.model->file());
  if (!files) return files.status();
  uint64_t total = 0;
  LoadProgress remembered;
  if (progress) {
    remembered = [&](uint64_t done, uint64_t of) {
      total = of;
      return progress(done, of);
    };
  }
  auto dense = DenseWeights::load(*files, residence.model->weights().dense, remembered);
  if (!dense) return dense.status();
  auto moved = Model::over(*residence.model, std::move(*dense));
  if (!moved) return moved.status();
  residence.model = std::move(*moved);
  // Tables were made of mapped pages; nothing is from here on.
  const formats::GgufFile& file = residence.model->file();
  for (int i = 0; i < file.n_shards(); ++i) file.shard(i)->leave(header_bytes(file, i));
  // All is loaded by then; what is left takes its time, too.
  PagedStoreOptions paged = {.slab_bytes = budget.expert_bytes};
  if (progress) paged.goes_on = [&] { return progress(total, total); };
  auto store = make_paged_expert_store(*residence.model, paged);
  if (!store) return store.status();
  residence.experts = std::move(*store);
  return residence;
}

}  // namespace larder::runtime
