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
                            Arena& arena, Caches* caches) {
  const auto n = static_cast<size_t>(capacity) * element_bytes;  // widths are below 2^28
  const auto take = [&](const LayerConfig& layer, bool is_used) {
    LayerCache cache;
    if (!is_used) return cache;
    cache.n_kv_heads = layer.n_kv_heads;
    cache.d_key = layer.d_cached_key();
    cache.d_value = layer.mixer == Mixer::mla ? 0 : layer.d_value;
    const auto n_heads = static_cast<size_t>(layer.n_kv_heads);
    cache.keys = arena.take<std::byte>(n * n_heads * static_cast<size_t>(cache.d_key));
    cache.values = arena.take<std::byte>(n * n_heads * static_cast<size_t>(cache.d_value));
    return cache;
  };
  for (const LayerConfig& layer : config.layers) {
    const LayerCache own = take(layer, !layer.sees_ahead);
    const LayerCache source = take(layer, layer.attends_source);
    if (!caches) continue;
    caches->own.push_back(own);
    caches->source.push_back(source);
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
    lay_out(config, capacity, bytes_of(type), arena, &state->caches_);
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

void SequenceState::hold_source(int32_t n_source) noexcept {
  assert(n_source >= 0 && n_source <= capacity_);
  truncate(0);
  n_source_ = n_source;
}

quant::CacheView SequenceState::keys_in(const LayerCache& cache, int kv_head) const noexcept {
  return {cache.keys + index(kv_head, 0, cache.d_key) * element_bytes(),
          static_cast<size_t>(cache.d_key), type_ == CacheType::f16};
}

quant::CacheView SequenceState::values_in(const LayerCache& cache, int kv_head) const noexcept {
  if (cache.d_value == 0) return keys_in(cache, kv_head);
  return {cache.values + index(kv_head, 0, cache.d_value) * element_bytes(),
          static_cast<size_t>(cache.d_value), type_ == CacheType::f16};
}

quant::CacheView SequenceState::keys(int layer, int kv_head) const noexcept {
  return keys_in(caches_.own[static_cast<size_t>(layer)], kv_head);
}

quant::CacheView SequenceState::values(int layer, int kv_head) const noexcept {
  return values_in(caches_.own[static_cast<size_t>(layer)], kv_head);
}

quant::CacheView SequenceState::source_keys(int layer, int kv_head) const noexcept {
  return keys_in(caches_.source[static_cast<size_t>(layer)], kv_head);
}

quant::CacheView SequenceState::source_values(int layer, int kv_head) const noexcept {
  return values_in(caches_.source[static_cast<size_t>(layer)], kv_head);
}

void SequenceState::put(const quant::KernelSet& kernels, std::byte* cache, size_t at,
                        const float* x, int32_t n) noexcept {
  if (type_ == CacheType::f16)
    kernels.vector.to_f16(x, n, reinterpret_cast<uint16_t*>(cache) + at);
  else
    std::memcpy(reinterpret_cast<float*>(cache) + at, x, sizeof(float) * static_cast<size_t>(n));
}

void SequenceState::store_in(const LayerCache& cache, const quant::KernelSet& kernels, int kv_head,
                             int32_t position, const float* key, const float* value) noexcept {
  assert(position >= 0 && position < capacity_);
  put(kernels, cache.keys, index(kv_head, position, cache.d_key), key, cache.d_key);
  if (cache.d_value > 0)
    put(kernels, cache.values, index(kv_head, position, cache.d_value), value, cache.d_value);
}

void SequenceState::store(const quant::KernelSet& kernels, int layer, int kv_head, int32_t position,
                          const float* key, const float* value) noexcept {
  store_in(caches_.own[static_cast<size_t>(layer)], kernels, kv_head, position, key, value);
}

void SequenceState::store_source(const quant::KernelSet& kernels, int layer, int kv_head,
                                 int32_t position, const float* key, const float* value) noexcept {
  store_in(caches_.source[static_cast<size_t>(layer)], kernels, kv_head, position, key, value);
}

void SequenceState::copy_cache(const LayerCache& from, const LayerCache& to,
                               const SequenceState& other, int32_t n_positions) noexcept {
  const auto n = static_cast<size_t>(n_positions) * element_bytes();
  for (int h = 0; h < to.n_kv_heads; ++h) {
    std::memcpy(to.keys + index(h, 0, to.d_key) * element_bytes(),
                from.keys + other.index(h, 0, from.d_key) * element_bytes(),
                n * static_cast<size_t>(to.d_key));
    std::memcpy(to.values + index(h, 0, to.d_value) * element_bytes(),
                from.values + other.index(h, 0, from.d_value) * element_bytes(),
                n * static_cast<size_t>(to.d_value));
  }
}

void SequenceState::copy_from(const SequenceState& other) noexcept {
  assert(caches_.own.size() == other.caches_.own.size() && type_ == other.type_ &&
         other.n_positions_ <= capacity_ && other.n_source_ <= capacity_);
  for (size_t l = 0; l < caches_.own.size(); ++l) {
    copy_cache(other.caches_.own[l], caches_.own[l], other, other.n_positions_);
    copy_cache(other.caches_.source[l], caches_.source[l], other, other.n_source_);
  }
  carried_.copy_from(other.carried_);
  n_positions_ = other.n_positions_;
  n_source_ = other.n_source_;
}

}  // namespace larder::runtime
