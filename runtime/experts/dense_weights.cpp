#include "runtime/experts/dense_weights.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/experts/read_probe.h"
#include "runtime/experts/weight_reader.h"

namespace larder::runtime {
namespace {

using formats::GgufTensor;

constexpr uint64_t kBlock = WeightFiles::kAlignment;
// Progress is told, and cancelling noticed, so often.
constexpr uint64_t kChunkBytes = uint64_t{8} << 20;

constexpr uint64_t block_of(uint64_t offset) { return offset / kBlock; }

bool is_before(const GgufTensor* a, const GgufTensor* b) {
  return a->shard != b->shard ? a->shard < b->shard : a->file_offset < b->file_offset;
}

}  // namespace

std::vector<DenseWeights::Run> DenseWeights::runs_of(Tensors tensors) {
  std::vector<const GgufTensor*> sorted(tensors.begin(), tensors.end());
  std::sort(sorted.begin(), sorted.end(), is_before);
  std::vector<Run> runs;
  for (const GgufTensor* tensor : sorted) {
    const uint64_t end = tensor->file_offset + tensor->size_bytes;
    if (!runs.empty()) {
      FileRange& last = runs.back().range;
      const uint64_t last_end = last.offset + last.size_bytes;
      if (last.shard == tensor->shard &&
          block_of(tensor->file_offset) <= block_of(last_end - 1) + 1) {
        last.size_bytes = std::max(last_end, end) - last.offset;
        continue;
      }
    }
    const uint64_t at = end_of(runs);
    runs.push_back({{tensor->shard, tensor->file_offset, tensor->size_bytes}, at});
  }
  return runs;
}

uint64_t DenseWeights::end_of(const std::vector<Run>& runs) noexcept {
  return runs.empty() ? 0 : runs.back().at + WeightReader::span_bytes(runs.back().range);
}

uint64_t DenseWeights::bytes_for(Tensors tensors) {
  return AnonymousMemory::huge_bytes(end_of(runs_of(tensors)));
}

Status DenseWeights::read(const WeightFiles& files, const LoadProgress& progress) {
  std::vector<FileRange> chunks;
  std::vector<uint64_t> places;
  size_t n_pieces = 0;
  for (const Run& run : runs_) {
    const uint64_t begin = block_of(run.range.offset) * kBlock;
    const uint64_t end = run.range.offset + run.range.size_bytes;
    for (uint64_t at = begin; at < end; at += kChunkBytes) {
      chunks.push_back({run.range.shard, at, std::min(kChunkBytes, end - at)});
      places.push_back(run.at + (at - begin));
      n_pieces += WeightReader::n_pieces(chunks.back());
    }
  }
  auto backend = make_thread_reads(kDefaultLanes, n_pieces);
  if (!backend) return backend.status();
  WeightReader reader(files, std::move(*backend), chunks.size(), n_pieces);
  uint64_t done = 0;
  const uint64_t total = end_of(runs_);
  for (size_t i = 0; i < chunks.size(); ++i)
    reader.begin(static_cast<uint32_t>(i), {&chunks[i], 1}, memory_.data() + places[i], true);
  for (size_t n_done = 0; n_done < chunks.size();) {
    for (const uint32_t chunk : reader.finish(true)) {
      if (Status s = reader.status(chunk); !s.ok()) return s;
      done += WeightReader::span_bytes(chunks[chunk]);
      ++n_done;
    }
    if (progress && !progress(done, total))
      return Status(Cause::cancelled, "loading was interrupted");
  }
  return {};
}

Result<std::shared_ptr<const DenseWeights>> DenseWeights::load(const WeightFiles& files,
                                                               Tensors tensors,
                                                               const LoadProgress& progress) {
  try {
    auto weights = std::make_shared<DenseWeights>();
    weights->runs_ = runs_of(tensors);
    auto memory = AnonymousMemory::allocate_huge(end_of(weights->runs_), "weights");
    if (!memory) return memory.status();
    weights->memory_ = std::move(*memory);
    if (Status s = weights->read(files, progress); !s.ok()) return s;
    return std::shared_ptr<const DenseWeights>(std::move(weights));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for the tables of weights");
  }
}

std::span<const std::byte> DenseWeights::bytes(const GgufTensor& tensor) const noexcept {
  const auto behind =
      std::upper_bound(runs_.begin(), runs_.end(), tensor, [](const GgufTensor& t, const Run& run) {
        return t.shard != run.range.shard ? t.shard < run.range.shard
                                          : t.file_offset < run.range.offset;
      });
  if (behind == runs_.begin()) return {};
  const Run& run = *(behind - 1);
  const uint64_t end = run.range.offset + run.range.size_bytes;
  if (tensor.shard != run.range.shard || tensor.file_offset + tensor.size_bytes > end) return {};
  const uint64_t skipped = tensor.file_offset - block_of(run.range.offset) * kBlock;
  return {memory_.data() + run.at + skipped, tensor.size_bytes};
}

}  // namespace larder::runtime
