#include "runtime/session/sequence_state.h"

#include <cassert>
#include <cstring>
#include <new>
#include <string>

namespace larder::runtime {
namespace {

constexpr size_t bytes_of(CacheType type) { return type == CacheType::f16 ? 2 : 4; }

}  // namespace

SequenceState::~SequenceState() = default;

void SequenceState::lay_out(const ModelConfig& config, int32_t capacity, size_t element_bytes,
                            Arena& arena, std::vector<LayerCache>* layers) {
  for (const LayerConfig& layer : config.layers) {
    const auto n = static_cast<size_t>(capacity) * element_bytes;  // widths are below 2^28
    LayerCache cache;
    cache.n_kv_heads = layer.n_kv_heads;
    cache.d_key = layer.d_cached_key();
    cache.d_value = layer.mixer == Mixer::mla ? 0 : layer.d_value;
    const auto n_heads = static_cast<size_t>(layer.n_kv_heads);
    cache.keys = arena.take<std::byte>(n * n_heads * static_cast<size_t>(cache.d_key));
    cache.values = arena.take<std::byte>(n * n_heads * static_cast<size_t>(cache.d_value));
    if (layers) layers->push_back(cache);
  }
}

size_t SequenceState::bytes_for(const ModelConfig& config, int32_t capacity,
                                CacheType type) noexcept {
  Arena arena;
  lay_out(config, capacity, bytes_of(type), arena, nullptr);
  CarriedStates::count(config, arena);
  return arena.overflows() ? SIZE_MAX : arena.bytes();
}

size_t SequenceState::carried_bytes_for(const ModelConfig& config) noexcept {
  Arena arena;
  CarriedStates::count(config, arena);
  return arena.bytes();
}

Result<std::unique_ptr<SequenceState>> SequenceState::create(const ModelConfig& config,
                                                             int32_t capacity, CacheType type) {
  if (capacity < 1)
    return Status(Cause::invalid_argument, "a sequence must hold at least one position");
  const size_t bytes = bytes_for(config, capacity, type);
  if (bytes == SIZE_MAX)
    return Status(Cause::out_of_memory,
                  "no machine holds the cache of " + std::to_string(capacity) + " positions");
  Result<AnonymousMemory> memory = AnonymousMemory::allocate(bytes, "the cache of a sequence");
  if (!memory) return memory.status();

  try {
    std::unique_ptr<SequenceState> state(new SequenceState);
    state->memory_ = std::move(*memory);
    Arena arena(state->memory_.data());
    lay_out(config, capacity, bytes_of(type), arena, &state->layers_);
    state->carried_.lay_out(config, arena);
    state->capacity_ = capacity;
    state->type_ = type;
    return state;
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for a sequence");
  }
}

int32_t SequenceState::truncate(int32_t n_positions) noexcept {
  assert(n_positions >= 0 && n_positions <= n_positions_);
  n_positions_ = carried_.restorable(n_positions);
  carried_.restore(n_positions_);
  return n_positions_;
}

void SequenceState::advance(int32_t n) noexcept {
  if (n == 0) return;
  n_positions_ += n;
  carried_.advance(n_positions_);
}

quant::CacheView SequenceState::keys(int layer, int kv_head) const noexcept {
  const LayerCache& cache = layers_[static_cast<size_t>(layer)];
  return {cache.keys + index(kv_head, 0, cache.d_key) * element_bytes(),
          static_cast<size_t>(cache.d_key), type_ == CacheType::f16};
}

quant::CacheView SequenceState::values(int layer, int kv_head) const noexcept {
  const LayerCache& cache = layers_[static_cast<size_t>(layer)];
  if (cache.d_value == 0) return keys(layer, kv_head);
  return {cache.values + index(kv_head, 0, cache.d_value) * element_bytes(),
          static_cast<size_t>(cache.d_value), type_ == CacheType::f16};
}

void SequenceState::put(const quant::KernelSet& kernels, std::byte* cache, size_t at,
                        const float* x, int32_t n) noexcept {
  if (type_ == CacheType::f16)
    kernels.vector.to_f16(x, n, reinterpret_cast<uint16_t*>(cache) + at);
  else
    std::memcpy(reinterpret_cast<float*>(cache) + at, x, sizeof(float) * static_cast<size_t>(n));
}

void SequenceState::store(const quant::KernelSet& kernels, int layer, int kv_head, int32_t position,
                          const float* key, const float* value) noexcept {
  assert(position >= 0 && position < capacity_);
  const LayerCache& cache = layers_[static_cast<size_t>(layer)];
  put(kernels, cache.keys, index(kv_head, position, cache.d_key), key, cache.d_key);
  if (cache.d_value > 0)
    put(kernels, cache.values, index(kv_head, position, cache.d_value), value, cache.d_value);
}

void SequenceState::copy_from(const SequenceState& other) noexcept {
  assert(layers_.size() == other.layers_.size() && type_ == other.type_ &&
         other.n_positions_ <= capacity_);
  const auto n = static_cast<size_t>(other.n_positions_) * element_bytes();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const LayerCache& from = other.layers_[l];
    const LayerCache& to = layers_[l];
    for (int h = 0; h < to.n_kv_heads; ++h) {
      std::memcpy(to.keys + index(h, 0, to.d_key) * element_bytes(),
                  from.keys + other.index(h, 0, from.d_key) * element_bytes(),
                  n * static_cast<size_t>(to.d_key));
      std::memcpy(to.values + index(h, 0, to.d_value) * element_bytes(),
                  from.values + other.index(h, 0, from.d_value) * element_bytes(),
                  n * static_cast<size_t>(to.d_value));
    }
  }
  carried_.copy_from(other.carried_);
  n_positions_ = other.n_positions_;
}

}  // namespace larder::runtime
