#include "runtime/session/sequence_state.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <string>

namespace larder::runtime {
namespace {

constexpr int32_t kBlock = 32;  // of q8_0

Status check_width(const char* what, int32_t width, CacheType type) {
  if (type != CacheType::q8_0 || width % kBlock == 0) return {};
  return Status(Cause::invalid_argument,
                std::string("the model has ") + what + " of " + std::to_string(width) +
                    " values, which are no whole blocks of 32; choose f16",
                "cache type q8_0");
}

}  // namespace

SequenceState::~SequenceState() = default;

void SequenceState::lay_out(const ModelConfig& config, const Sizes& sizes, Arena& arena,
                            Caches* caches) {
  const auto take_rows = [&](CacheType type, const LayerConfig& layer, int32_t n_places,
                             int32_t width) {
    HeadRows rows{nullptr, type, width, n_places,
                  cached_bytes(type, width)};  // widths are below 2^28
    rows.data = arena.take<std::byte>(static_cast<size_t>(n_places) * rows.row_bytes *
                                      static_cast<size_t>(layer.n_kv_heads));
    return rows;
  };
  const auto take = [&](const LayerConfig& layer, bool is_used, int32_t n_places) {
    LayerCache cache;
    if (!is_used || layer.n_kv_heads == 0) return cache;
    cache.n_kv_heads = layer.n_kv_heads;
    cache.is_windowed = layer.is_windowed;
    cache.keys = take_rows(sizes.types.keys, layer, n_places, layer.d_cached_key());
    cache.values = take_rows(sizes.types.values, layer, n_places,
                             layer.mixer == Mixer::mla ? 0 : layer.d_value);
    return cache;
  };
  for (const LayerConfig& layer : config.layers) {
    const LayerCache own = take(layer, !layer.sees_ahead,
                                layer.is_windowed ? sizes.n_windowed_places : sizes.capacity);
    const LayerCache source = take(layer, layer.attends_source, sizes.capacity);
    if (!caches) continue;
    caches->own.push_back(own);
    caches->source.push_back(source);
  }
}

size_t SequenceState::bytes_for(const ModelConfig& config, int32_t capacity, CacheTypes types,
                                int32_t longest_pass) noexcept {
  Arena arena;
  lay_out(config, {capacity, WindowRing::places_for(config.window, capacity, longest_pass), types},
          arena, nullptr);
  CarriedStates::count(config, arena);
  return arena.overflows() ? SIZE_MAX : arena.bytes();
}

size_t SequenceState::carried_bytes_for(const ModelConfig& config) noexcept {
  Arena arena;
  CarriedStates::count(config, arena);
  return arena.bytes();
}

Status SequenceState::check(const ModelConfig& config, CacheTypes types) {
  for (const LayerConfig& layer : config.layers) {
    if (layer.carries_state()) continue;
    const bool is_latent = layer.mixer == Mixer::mla;
    Status s = check_width(is_latent ? "latents with their keys" : "keys", layer.d_cached_key(),
                           types.keys);
    if (s.ok())
      s = check_width(is_latent ? "latents" : "values", layer.d_cached_value(),
                      is_latent ? types.keys : types.values);
    if (!s.ok()) return s;
  }
  return {};
}

Result<std::unique_ptr<SequenceState>> SequenceState::create(const ModelConfig& config,
                                                             int32_t capacity, CacheTypes types,
                                                             int32_t longest_pass) {
  if (capacity < 1 || longest_pass < 1)
    return Status(Cause::invalid_argument,
                  "a sequence must hold at least one position, and take one at a time");
  if (Status s = check(config, types); !s.ok()) return s;
  const size_t bytes = bytes_for(config, capacity, types, longest_pass);
  if (bytes == SIZE_MAX)
    return Status(Cause::out_of_memory,
                  "no machine holds the cache of " + std::to_string(capacity) + " positions");
  Result<AnonymousMemory> memory = AnonymousMemory::allocate(bytes, "the cache of a sequence");
  if (!memory) return memory.status();

  Result<std::unique_ptr<SequenceState>> state =
      create_over(memory->data(), config, capacity, types, longest_pass);
  if (state) (*state)->memory_ = std::move(*memory);
  return state;
}

Result<std::unique_ptr<SequenceState>> SequenceState::create_over(std::byte* memory,
                                                                  const ModelConfig& config,
                                                                  int32_t capacity,
                                                                  CacheTypes types,
                                                                  int32_t longest_pass) try {
  assert(capacity > 0 && longest_pass > 0);
  std::unique_ptr<SequenceState> state(new SequenceState);
  Arena arena(memory);
  const int32_t n_places = WindowRing::places_for(config.window, capacity, longest_pass);
  lay_out(config, {capacity, n_places, types}, arena, &state->caches_);
  state->carried_.lay_out(config, arena);
  state->carried_.clear();
  state->ring_ = WindowRing(config.window, n_places);
  state->longest_pass_ = longest_pass;
  state->capacity_ = capacity;
  state->types_ = types;
  return state;
} catch (const std::bad_alloc&) {
  return Status(Cause::out_of_memory, "no memory for a sequence");
}

int32_t SequenceState::n_left_by_truncate(int32_t n_positions) const noexcept {
  return ring_.restorable(carried_.restorable(n_positions));
}

int32_t SequenceState::truncate(int32_t n_positions) noexcept {
  assert(n_positions >= 0 && n_positions <= n_positions_);
  n_positions_ = n_left_by_truncate(n_positions);
  carried_.restore(n_positions_);
  ring_.restore(n_positions_);
  return n_positions_;
}

void SequenceState::advance(int32_t n) noexcept {
  if (n == 0) return;
  make_room(n);
  n_positions_ += n;
  carried_.advance(n_positions_);
}

void SequenceState::hold_source(int32_t n_source) noexcept {
  assert(n_source >= 0 && n_source <= capacity_);
  truncate(0);
  n_source_ = n_source;
}

quant::CacheView SequenceState::view(const HeadRows& rows, int kv_head) const noexcept {
  const int32_t stride = rows.type == CacheType::q8_0 ? rows.width / kBlock : rows.width;
  return {row_of(rows, kv_head, 0), static_cast<size_t>(stride), format_of(rows.type),
          rows.n_places < capacity_ ? rows.n_places : 0};
}

quant::CacheView SequenceState::values_in(const LayerCache& cache, int kv_head) const noexcept {
  return view(cache.values.width == 0 ? cache.keys : cache.values, kv_head);
}

quant::CacheView SequenceState::keys(int layer, int kv_head) const noexcept {
  return view(caches_.own[static_cast<size_t>(layer)].keys, kv_head);
}

quant::CacheView SequenceState::values(int layer, int kv_head) const noexcept {
  return values_in(caches_.own[static_cast<size_t>(layer)], kv_head);
}

quant::CacheView SequenceState::source_keys(int layer, int kv_head) const noexcept {
  return view(caches_.source[static_cast<size_t>(layer)].keys, kv_head);
}

quant::CacheView SequenceState::source_values(int layer, int kv_head) const noexcept {
  return values_in(caches_.source[static_cast<size_t>(layer)], kv_head);
}

void SequenceState::put(const quant::KernelSet& kernels, const HeadRows& rows, int kv_head,
                        int32_t position, const float* x) noexcept {
  std::byte* const row = row_of(rows, kv_head, position);
  switch (rows.type) {
    case CacheType::f16:
      return kernels.vector.to_f16(x, rows.width, reinterpret_cast<uint16_t*>(row));
    case CacheType::q8_0:
      return kernels.vector.quantize_q8_0(x, rows.width, row);
    case CacheType::f32:
      std::memcpy(row, x, rows.row_bytes);
  }
}

void SequenceState::store_in(const LayerCache& cache, const quant::KernelSet& kernels, int kv_head,
                             int32_t position, const float* key, const float* value) noexcept {
  assert(position >= 0 && position < capacity_);
  put(kernels, cache.keys, kv_head, position, key);
  if (cache.values.width > 0) put(kernels, cache.values, kv_head, position, value);
}

void SequenceState::store(const quant::KernelSet& kernels, int layer, int kv_head, int32_t position,
                          const float* key, const float* value) noexcept {
  store_in(caches_.own[static_cast<size_t>(layer)], kernels, kv_head, position, key, value);
}

void SequenceState::store_source(const quant::KernelSet& kernels, int layer, int kv_head,
                                 int32_t position, const float* key, const float* value) noexcept {
  store_in(caches_.source[static_cast<size_t>(layer)], kernels, kv_head, position, key, value);
}

void SequenceState::copy_rows(const HeadRows& from, const HeadRows& to, int32_t n_kv_heads,
                              int32_t n_positions) noexcept {
  if (to.width == 0) return;
  const int32_t first = std::max(0, n_positions - std::min(from.n_places, to.n_places));
  for (int h = 0; h < n_kv_heads; ++h) {
    // Runs that end where one of the rings begins anew.
    for (int32_t at = first; at < n_positions;) {
      const int32_t n = std::min(
          {n_positions - at, from.n_places - at % from.n_places, to.n_places - at % to.n_places});
      std::memcpy(row_of(to, h, at), row_of(from, h, at), static_cast<size_t>(n) * to.row_bytes);
      at += n;
    }
  }
}

void SequenceState::copy_cache(const LayerCache& from, const LayerCache& to,
                               int32_t n_positions) noexcept {
  copy_rows(from.keys, to.keys, to.n_kv_heads, n_positions);
  copy_rows(from.values, to.values, to.n_kv_heads, n_positions);
}

void SequenceState::copy_from(const SequenceState& other) noexcept {
  assert(caches_.own.size() == other.caches_.own.size() && types_ == other.types_ &&
         other.n_positions_ <= capacity_ && other.n_source_ <= capacity_);
  for (size_t l = 0; l < caches_.own.size(); ++l) {
    copy_cache(other.caches_.own[l], caches_.own[l], other.n_positions_);
    copy_cache(other.caches_.source[l], caches_.source[l], other.n_source_);
  }
  carried_.copy_from(other.carried_);
  ring_.copy_from(other.ring_, other.n_positions_);
  n_positions_ = other.n_positions_;
  n_source_ = other.n_source_;
}

}  // namespace larder::runtime
