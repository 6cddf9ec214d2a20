// One sequence's memory: keys and values of every layer, or latents, or the states that it carries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/model/model_config.h"
#include "runtime/session/anonymous_memory.h"
#include "runtime/session/carried_states.h"

namespace larder::runtime {

enum class CacheType : uint8_t { f16, f32 };

class SequenceState {
 public:
  // Allocates memory for `capacity` positions and, behind an encoder, as many of a source. Errors:
  // `out_of_memory`, `invalid_argument`.
  static Result<std::unique_ptr<SequenceState>> create(const ModelConfig& config, int32_t capacity,
                                                       CacheType type);
  ~SequenceState();

  int32_t n_positions() const noexcept { return n_positions_; }
  int32_t capacity() const noexcept { return capacity_; }
  CacheType type() const noexcept { return type_; }

  // Of a model with an encoder: how long the source is that the positions belong to; 0: there is
  // none yet. Its keys and values stay as they are while positions come and go.
  int32_t n_source() const noexcept { return n_source_; }
  // What store_source() stored is a source of so many positions; the sequence's own are forgotten.
  // REQUIRES: 0 <= n_source <= capacity().
  void hold_source(int32_t n_source) noexcept;

  // Forgets all positions from `n_positions` on, and returns how many are left: fewer than asked
  // for where layers carry states and none was kept there. REQUIRES: 0 <= n_positions <=
  // n_positions().
  int32_t truncate(int32_t n_positions) noexcept;
  // How many positions truncate() would leave.
  int32_t n_left_by_truncate(int32_t n_positions) const noexcept {
    return carried_.restorable(n_positions);
  }

  // Views for attention: element (position, d) at data[position * stride + d].
  quant::CacheView keys(int layer, int kv_head) const noexcept;
  quant::CacheView values(int layer, int kv_head) const noexcept;
  // Stores one position's vectors of one kv head; does not move n_positions(). In latent attention
  // a value is the front of its key, and `value` is not read.
  void store(const quant::KernelSet& kernels, int layer, int kv_head, int32_t position,
             const float* key, const float* value) noexcept;
  // The same of a source, in the layers that attend to one.
  quant::CacheView source_keys(int layer, int kv_head) const noexcept;
  quant::CacheView source_values(int layer, int kv_head) const noexcept;
  void store_source(const quant::KernelSet& kernels, int layer, int kv_head, int32_t position,
                    const float* key, const float* value) noexcept;
  // The states that a layer carries; a pass writes those of next() before advance() takes them.
  const CarriedStates& carried() const noexcept { return carried_; }
  // REQUIRES: n_positions() + n <= capacity().
  void advance(int32_t n) noexcept;

  // Makes this hold what `other` holds, its source too; the cost is so many vectors of every layer.
  // Of carried states only the present ones come along.
  // REQUIRES: both of the same model and type; other.n_positions(), n_source() <= capacity().
  void copy_from(const SequenceState& other) noexcept;

  size_t bytes() const noexcept { return memory_.bytes(); }
  // Exactly what create() allocates; SIZE_MAX if no machine can have it.
  static size_t bytes_for(const ModelConfig& config, int32_t capacity, CacheType type) noexcept;
  // Of that, the states that layers carry, with their checkpoints; the same for every capacity.
  static size_t carried_bytes_for(const ModelConfig& config) noexcept;

 private:
  SequenceState() = default;

  // [kv head][position][d]: what one attention task reads is one contiguous run.
  struct LayerCache {
    std::byte* keys = nullptr;
    std::byte* values = nullptr;
    int32_t n_kv_heads = 0, d_key = 0;
    int32_t d_value = 0;  // 0: values are the fronts of keys
  };
  // A model's caches, by layer. Those that a layer has no use for are empty.
  struct Caches {
    std::vector<LayerCache> own, source;
  };
  // Into `caches`, unless that is null.
  static void lay_out(const ModelConfig& config, int32_t capacity, size_t element_bytes,
                      Arena& arena, Caches* caches);
  size_t element_bytes() const noexcept { return type_ == CacheType::f16 ? 2 : 4; }
  size_t index(int kv_head, int32_t position, int32_t width) const noexcept {
    return (static_cast<size_t>(kv_head) * static_cast<size_t>(capacity_) +
            static_cast<size_t>(position)) *
           static_cast<size_t>(width);
  }
  quant::CacheView keys_in(const LayerCache& cache, int kv_head) const noexcept;
  quant::CacheView values_in(const LayerCache& cache, int kv_head) const noexcept;
  void store_in(const LayerCache& cache, const quant::KernelSet& kernels, int kv_head,
                int32_t position, const float* key, const float* value) noexcept;
  // The first n positions of other's cache of the same layer.
  void copy_cache(const LayerCache& from, const LayerCache& to, const SequenceState& other,
                  int32_t n) noexcept;
  void put(const quant::KernelSet& kernels, std::byte* cache, size_t at, const float* x,
           int32_t n) noexcept;

  AnonymousMemory memory_;
  Caches caches_;
  CarriedStates carried_;
  int32_t n_positions_ = 0, n_source_ = 0, capacity_ = 0;
  CacheType type_ = CacheType::f16;
};

}  // namespace larder::runtime
