// One sequence's memory: keys and values of every layer, or latents, or the states that it carries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/model/cache_type.h"
#include "runtime/model/model_config.h"
#include "runtime/session/anonymous_memory.h"
#include "runtime/session/carried_states.h"

namespace larder::runtime {

class SequenceState {
 public:
  // Allocates memory for `capacity` positions and, behind an encoder, as many of a source. Errors:
  // `out_of_memory`, `invalid_argument`.
  static Result<std::unique_ptr<SequenceState>> create(const ModelConfig& config, int32_t capacity,
                                                       CacheTypes types);
  // Whether heads are whole blocks of these types. Error: `invalid_argument`.
  static Status check(const ModelConfig& config, CacheTypes types);
  ~SequenceState();

  int32_t n_positions() const noexcept { return n_positions_; }
  int32_t capacity() const noexcept { return capacity_; }
  CacheTypes types() const noexcept { return types_; }

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

  // Views for attention.
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
  // REQUIRES: both of the same model and types; other.n_positions(), n_source() <= capacity().
  void copy_from(const SequenceState& other) noexcept;

  size_t bytes() const noexcept { return memory_.bytes(); }
  // Exactly what create() allocates; SIZE_MAX if no machine can have it.
  // REQUIRES: check() is ok.
  static size_t bytes_for(const ModelConfig& config, int32_t capacity, CacheTypes types) noexcept;
  // Of that, the states that layers carry, with their checkpoints; the same for every capacity.
  static size_t carried_bytes_for(const ModelConfig& config) noexcept;

 private:
  SequenceState() = default;

  // [kv head][position][d]: what one attention task reads is one contiguous run.
  struct HeadRows {
    std::byte* data = nullptr;
    CacheType type = CacheType::f16;
    int32_t width = 0;
    size_t row_bytes = 0;
  };
  struct LayerCache {
    HeadRows keys;
    HeadRows values;  // of width 0: they are the fronts of keys
    int32_t n_kv_heads = 0;
  };
  // A model's caches, by layer. Those that a layer has no use for are empty.
  struct Caches {
    std::vector<LayerCache> own, source;
  };
  // Into `caches`, unless that is null.
  static void lay_out(const ModelConfig& config, int32_t capacity, CacheTypes types, Arena& arena,
                      Caches* caches);
  std::byte* row_of(const HeadRows& rows, int kv_head, int32_t position) const noexcept {
    return rows.data + (static_cast<size_t>(kv_head) * static_cast<size_t>(capacity_) +
                        static_cast<size_t>(position)) *
                           rows.row_bytes;
  }
  quant::CacheView view(const HeadRows& rows, int kv_head) const noexcept;
  quant::CacheView values_in(const LayerCache& cache, int kv_head) const noexcept;
  void store_in(const LayerCache& cache, const quant::KernelSet& kernels, int kv_head,
                int32_t position, const float* key, const float* value) noexcept;
  // The first n positions of other's rows.
  void copy_rows(const HeadRows& from, const HeadRows& to, int32_t n_kv_heads,
                 const SequenceState& other, int32_t n) noexcept;
  void copy_cache(const LayerCache& from, const LayerCache& to, const SequenceState& other,
                  int32_t n) noexcept;
  void put(const quant::KernelSet& kernels, const HeadRows& rows, int kv_head, int32_t position,
           const float* x) noexcept;

  AnonymousMemory memory_;
  Caches caches_;
  CarriedStates carried_;
  int32_t n_positions_ = 0, n_source_ = 0, capacity_ = 0;
  CacheTypes types_;
};

}  // namespace larder::runtime
