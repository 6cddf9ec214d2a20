// One sequence's memory: keys and values of every layer (and, where an architecture has them,
// latents, convolution and recurrent states).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

enum class CacheType : uint8_t { f16, f32 };

class SequenceState {
 public:
  // Allocates memory for `capacity` positions. Errors: `out_of_memory`, `invalid_argument`.
  static Result<std::unique_ptr<SequenceState>> create(const ModelConfig& config, int32_t capacity,
                                                       CacheType type);
  ~SequenceState();

  int32_t n_positions() const noexcept { return n_positions_; }
  int32_t capacity() const noexcept { return capacity_; }
  CacheType type() const noexcept { return type_; }

  // Forgets all positions from `n_positions` on. REQUIRES: 0 <= n_positions <= n_positions().
  void truncate(int32_t n_positions) noexcept;

  // Views for attention: element (position, d) at data[position * stride + d].
  quant::CacheView keys(int layer, int kv_head) const noexcept;
  quant::CacheView values(int layer, int kv_head) const noexcept;
  // Stores one position's vectors of one kv head; does not move n_positions().
  void store(const quant::KernelSet& kernels, int layer, int kv_head, int32_t position,
             const float* key, const float* value) noexcept;
  // REQUIRES: n_positions() + n <= capacity().
  void advance(int32_t n) noexcept { n_positions_ += n; }

  size_t bytes() const noexcept;
  static size_t bytes_for(const ModelConfig& config, int32_t capacity, CacheType type) noexcept;

 private:
  SequenceState() = default;
  struct LayerCache;
  std::vector<LayerCache> layers_;
  int32_t n_positions_ = 0, capacity_ = 0;
  CacheType type_ = CacheType::f16;
};

}  // namespace larder::runtime
