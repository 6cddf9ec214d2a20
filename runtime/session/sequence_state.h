// One sequence's memory: keys and values of every layer, or latents, or the states that it carries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/model/cache_type.h"
#include "runtime/model/model_config.h"
#include "runtime/session/anonymous_memory.h"
#include "runtime/session/carried_states.h"
#include "runtime/session/window_ring.h"

namespace larder::runtime {

class SequenceState {
 public:
  // Passes may append as many positions at once as there are.
  static constexpr int32_t kAnyPass = INT32_MAX;

  // Allocates memory for `capacity` positions and, behind an encoder, as many of a source. The
  // shorter passes are, the less do layers with a window hold (window_ring.h). Errors:
  // `out_of_memory`, `invalid_argument`.
  static Result<std::unique_ptr<SequenceState>> create(const ModelConfig& config, int32_t capacity,
                                                       CacheTypes types,
                                                       int32_t longest_pass = kAnyPass);
  // The same over bytes_for() bytes that the caller keeps, 64-byte aligned and of any content.
  // REQUIRES: capacity and longest_pass of at least 1.
  static Result<std::unique_ptr<SequenceState>> create_over(std::byte* memory,
                                                            const ModelConfig& config,
                                                            int32_t capacity, CacheTypes types,
                                                            int32_t longest_pass);
  // Whether heads are whole blocks of these types. Error: `invalid_argument`.
  static Status check(const ModelConfig& config, CacheTypes types);
  ~SequenceState();

  int32_t n_positions() const noexcept { return n_positions_; }
  int32_t capacity() const noexcept { return capacity_; }
  CacheTypes types() const noexcept { return types_; }
  int32_t longest_pass() const noexcept { return longest_pass_; }

  // Of a model with an encoder: how long the source is that the positions belong to; 0: there is
  // none yet. Its keys and values stay as they are while positions come and go.
  int32_t n_source() const noexcept { return n_source_; }
  // What store_source() stored is a source of so many positions; the sequence's own are forgotten.
  // REQUIRES: 0 <= n_source <= capacity().
  void hold_source(int32_t n_source) noexcept;

  // Forgets all positions from `n_positions` on, and returns how many are left: fewer than asked
  // for where layers carry states and none was kept there, and none where layers with a window no
  // longer hold what the next position sees. REQUIRES: 0 <= n_positions <= n_positions().
  int32_t truncate(int32_t n_positions) noexcept;
  // How many positions truncate() would leave.
  int32_t n_left_by_truncate(int32_t n_positions) const noexcept;

  // Views for attention.
  quant::CacheView keys(int layer, int kv_head) const noexcept;
  quant::CacheView values(int layer, int kv_head) const noexcept;
  // A pass is about to store n positions behind n_positions(), in place of what windows passed by.
  // REQUIRES: n <= longest_pass(), n_positions() + n <= capacity().
  void make_room(int32_t n) noexcept { ring_.make_room(n_positions_ + n); }
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
  // Of carried states only the present ones come along, of windows what this has room for.
  // REQUIRES: both of the same model and types; other.n_positions(), n_source() <= capacity().
  void copy_from(const SequenceState& other) noexcept;

  // How much of a sequence there is.
  struct Extent {
    int32_t n_positions = 0, n_source = 0;
    int32_t first_windowed = 0;  // position that layers with a window hold
  };
  Extent extent() const noexcept { return {n_positions_, n_source_, ring_.first_held()}; }
  // What copy_from() takes, piece by piece, in an order of positions that no capacity changes.
  // Callbacks that answer false end it.
  bool each_piece(const std::function<bool(std::span<const std::byte>)>& take) const;
  // Holds what such pieces say; `give` writes one after another. Where it answers false nothing is
  // held. REQUIRES: 0 <= first_windowed <= n_positions <= capacity(), 0 <= n_source <= capacity();
  // pieces of the same model and types.
  bool hold_pieces(const Extent& extent, const std::function<bool(std::span<std::byte>)>& give);

  size_t bytes() const noexcept { return memory_.bytes(); }
  // Exactly what create() allocates; SIZE_MAX if no machine can have it.
  // REQUIRES: check() is ok.
  static size_t bytes_for(const ModelConfig& config, int32_t capacity, CacheTypes types,
                          int32_t longest_pass = kAnyPass) noexcept;
  // Of that, the states that layers carry, with their checkpoints; the same for every capacity.
  static size_t carried_bytes_for(const ModelConfig& config) noexcept;

 private:
  SequenceState() = default;

  // [kv head][position % n_places][d]: what one attention task reads is one contiguous run, or two.
  struct HeadRows {
    std::byte* data = nullptr;
    CacheType type = CacheType::f16;
    int32_t width = 0;
    int32_t n_places = 0;
    size_t row_bytes = 0;
  };
  struct LayerCache {
    HeadRows keys;
    HeadRows values;  // of width 0: they are the fronts of keys
    int32_t n_kv_heads = 0;
    bool is_windowed = false;
  };
  // A model's caches, by layer. Those that a layer has no use for are empty.
  struct Caches {
    std::vector<LayerCache> own, source;
  };
  struct Sizes {
    int32_t capacity, n_windowed_places;
    CacheTypes types;
  };
  // Into `caches`, unless that is null.
  static void lay_out(const ModelConfig& config, const Sizes& sizes, Arena& arena, Caches* caches);
  static std::byte* row_of(const HeadRows& rows, int kv_head, int32_t position) noexcept {
    return rows.data + (static_cast<size_t>(kv_head) * static_cast<size_t>(rows.n_places) +
                        static_cast<size_t>(position % rows.n_places)) *
                           rows.row_bytes;
  }
  quant::CacheView view(const HeadRows& rows, int kv_head) const noexcept;
  quant::CacheView values_in(const LayerCache& cache, int kv_head) const noexcept;
  void store_in(const LayerCache& cache, const quant::KernelSet& kernels, int kv_head,
                int32_t position, const float* key, const float* value) noexcept;
  // Memory of positions [first, end) of every head, in runs. Visits that answer false end it.
  static bool each_run(const HeadRows& rows, int32_t n_kv_heads, int32_t first, int32_t end,
                       const std::function<bool(std::span<std::byte>)>& visit);
  bool each_cached_run(const Extent& extent,
                       const std::function<bool(std::span<std::byte>)>& visit) const;
  // Of the first n positions those that both have places for.
  static void copy_rows(const HeadRows& from, const HeadRows& to, int32_t n_kv_heads,
                        int32_t n) noexcept;
  static void copy_cache(const LayerCache& from, const LayerCache& to, int32_t n) noexcept;
  void put(const quant::KernelSet& kernels, const HeadRows& rows, int kv_head, int32_t position,
           const float* x) noexcept;

  AnonymousMemory memory_;
  Caches caches_;
  CarriedStates carried_;
  WindowRing ring_;
  int32_t n_positions_ = 0, n_source_ = 0, capacity_ = 0, longest_pass_ = kAnyPass;
  CacheTypes types_;
};

}  // namespace larder::runtime
