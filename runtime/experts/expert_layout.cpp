#include "runtime/experts/expert_layout.h"

#include <algorithm>
#include <cassert>

#include "runtime/experts/weight_reader.h"

namespace larder::runtime {
namespace {

// The share of every pool's experts that has slots, in steps of 1 / kShareSteps.
constexpr int64_t kShareSteps = 1 << 20;

int32_t slots_at(const ExpertPool& pool, int64_t share) noexcept {
  const int64_t slots = pool.n_experts * share / kShareSteps;
  return static_cast<int32_t>(std::max<int64_t>(pool.n_active, slots));
}

}  // namespace

uint64_t ExpertSpans::read_bytes() const noexcept {
  uint64_t bytes = 0;
  for (size_t i = 0; i < n_ranges; ++i) bytes += WeightReader::span_bytes(ranges[i]);
  return bytes;
}

int32_t ExpertLayout::pool_for(uint64_t slot_bytes) {
  for (size_t i = 0; i < pools_.size(); ++i)
    if (pools_[i].slot_bytes == slot_bytes) return static_cast<int32_t>(i);
  pools_.push_back({.slot_bytes = slot_bytes});
  return static_cast<int32_t>(pools_.size()) - 1;
}

ExpertLayout::ExpertLayout(const ModelConfig& config, const ModelWeights& weights)
    : layers_(config.layers.size()) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const LayerWeights& w = weights.layers[i];
    if (!layer.is_moe()) continue;
    uint64_t slot_bytes = 0;
    for (const ExpertStack* stack : {&w.gate, &w.up, &w.down}) {
      if (stack->n_experts() == 0) continue;
      slot_bytes += WeightReader::max_span_bytes(stack->first.bytes());
      layers_[i].max_pieces += WeightReader::max_pieces(stack->first.bytes());
    }
    layers_[i].pool = pool_for(slot_bytes);
    layers_[i].weights = &w;
    layers_[i].n_active = layer.router.n_active;
    ExpertPool& pool = pools_[static_cast<size_t>(layers_[i].pool)];
    pool.n_experts += layer.router.n_experts;
    pool.n_active = std::max(pool.n_active, layer.router.n_active);
  }
}

ExpertSpans ExpertLayout::spans(int layer, int32_t expert) const noexcept {
  const LayerWeights& w = *layers_[static_cast<size_t>(layer)].weights;
  ExpertSpans spans;
  struct Part {
    FileRange range;
    size_t* place;
  };
  std::array<Part, 3> parts = {Part{w.gate.range(expert), &spans.gate},
                               Part{w.up.range(expert), &spans.up},
                               Part{w.down.range(expert), &spans.down}};
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return a.range.shard != b.range.shard ? a.range.shard < b.range.shard
                                          : a.range.offset < b.range.offset;
  });
  constexpr uint64_t kBlock = WeightReader::kAlignment;
  uint64_t begin = 0;  // of the last span, in the slot
  for (const Part& part : parts) {
    const FileRange& range = part.range;
    if (range.size_bytes == 0) continue;  // experts without a gate
    if (spans.n_ranges > 0) {
      FileRange& last = spans.ranges[spans.n_ranges - 1];
      const uint64_t end = last.offset + last.size_bytes;
      if (last.shard == range.shard && range.offset >= end && range.offset - end < kBlock) {
        last.size_bytes = range.offset + range.size_bytes - last.offset;
        *part.place = begin + (range.offset - last.offset / kBlock * kBlock);
        continue;
      }
      begin += WeightReader::span_bytes(last);
    }
    spans.ranges[spans.n_ranges++] = range;
    *part.place = begin + range.offset % kBlock;
  }
  return spans;
}

int64_t ExpertLayout::n_experts() const noexcept {
  int64_t n = 0;
  for (const ExpertPool& pool : pools_) n += pool.n_experts;
  return n;
}

uint64_t ExpertLayout::all_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const ExpertPool& pool : pools_)
    bytes += pool.slot_bytes * static_cast<uint64_t>(pool.n_experts);
  return bytes;
}

uint64_t ExpertLayout::cycle_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (layer.pool < 0) continue;
    bytes +=
        pools_[static_cast<size_t>(layer.pool)].slot_bytes * static_cast<uint64_t>(layer.n_active);
  }
  return bytes;
}

uint64_t ExpertLayout::file_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (layer.pool < 0) continue;
    const LayerWeights& w = *layer.weights;
    bytes += w.gate.bytes() + w.up.bytes() + w.down.bytes();
  }
  return bytes;
}

uint64_t ExpertLayout::floor_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const ExpertPool& pool : pools_)
    bytes += pool.slot_bytes * static_cast<uint64_t>(slots_at(pool, 0));
  return bytes;
}

std::vector<int32_t> ExpertLayout::slots_for(uint64_t slab_bytes) const {
  assert(slab_bytes >= floor_bytes());
  const auto bytes_at = [&](int64_t share) {
    uint64_t bytes = 0;
    for (const ExpertPool& pool : pools_)
      bytes += pool.slot_bytes * static_cast<uint64_t>(slots_at(pool, share));
    return bytes;
  };
  int64_t fits = 0, fails = kShareSteps + 1;
  while (fails - fits > 1) {
    const int64_t middle = (fits + fails) / 2;
    (bytes_at(middle) <= slab_bytes ? fits : fails) = middle;
  }
  std::vector<int32_t> slots;
  for (const ExpertPool& pool : pools_) slots.push_back(slots_at(pool, fits));
  uint64_t left = slab_bytes - bytes_at(fits);
  for (size_t i = 0; i < pools_.size(); ++i) {  // what rounding left
    while (slots[i] < pools_[i].n_experts && pools_[i].slot_bytes <= left) {
      left -= pools_[i].slot_bytes;
      ++slots[i];
    }
  }
  return slots;
}

uint64_t ExpertLayout::bytes_for(std::span<const int32_t> pool_slots) const noexcept {
  uint64_t bytes = 0;
  for (size_t i = 0; i < pools_.size(); ++i)
    bytes += pools_[i].slot_bytes * static_cast<uint64_t>(pool_slots[i]);
  return bytes;
}

size_t ExpertLayout::max_pieces(std::span<const int32_t> pool_slots) const {
  std::vector<size_t> of_pool(pools_.size());
  for (const Layer& layer : layers_) {
    if (layer.pool < 0) continue;
    size_t& most = of_pool[static_cast<size_t>(layer.pool)];
    most = std::max(most, layer.max_pieces);
  }
  size_t n = 0;
  for (size_t i = 0; i < pools_.size(); ++i) n += of_pool[i] * static_cast<size_t>(pool_slots[i]);
  return n;
}

ExpertPolicyShape ExpertLayout::policy_shape(std::vector<int32_t> pool_slots) const {
  ExpertPolicyShape shape;
  for (const Layer& layer : layers_) {
    shape.layers.push_back({});
    if (layer.pool < 0) continue;
    shape.layers.back() = {layer.weights->down.n_experts(), layer.pool};
  }
  shape.pool_slots = std::move(pool_slots);
  return shape;
}

}  // namespace larder::runtime
