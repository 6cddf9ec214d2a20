// The experts of a layer, as they come: each wave is those whose weights are there, and the matmuls
// to do with them, while the others are on their way. One wave where the store has all; otherwise
// what is there first, then what arrives, each expert in one wave. Sums are not built here, so the
// order of waves changes no result.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder::runtime {

struct LayerStep;
struct ExpertWeights;

class ExpertWave {
 public:
  // Sorts a layer's choices (space.experts) into slots, by expert, then by row.
  void begin(const LayerStep& layer) noexcept;
  // Gives back the wave before, asks for as many further experts as the store can pin and writes
  // the jobs of those that are there; where none is, awaits one if asked to.
  enum class Arrivals { at_hand, awaited };
  void next(const LayerStep& layer, Arrivals arrivals) noexcept;

  // Behind the last wave, and after a failure, which the pass then holds.
  bool is_over() const noexcept { return is_empty() && n_pinned_ == 0; }
  bool is_empty() const noexcept { return n_up_jobs_ == 0; }
  size_t n_up_jobs() const noexcept { return n_up_jobs_; }      // space.up_jobs
  size_t n_down_jobs() const noexcept { return n_down_jobs_; }  // space.down_jobs
  int64_t n_slots() const noexcept { return n_slots_; }         // space.wave_slots
  // All rows in the first wave of a layer with a shared expert, else none.
  int64_t n_shared_rows() const noexcept { return n_shared_rows_; }

 private:
  void order_experts(const LayerStep& layer) noexcept;
  void release(const LayerStep& layer, int32_t n) noexcept;
  void request(const LayerStep& layer) noexcept;
  void add_arrived(const LayerStep& layer, bool waits) noexcept;
  void add_expert(const LayerStep& layer, int32_t expert, const ExpertWeights& weights) noexcept;
  void add_shared(const LayerStep& layer) noexcept;

  int32_t n_used_ = 0;       // experts with slots: space.used
  int32_t n_requested_ = 0;  // of them
  int32_t n_pinned_ = 0;     // space.pins; the first n_running_ are this wave's
  int32_t n_running_ = 0;
  bool is_first_ = true;
  size_t n_up_jobs_ = 0, n_down_jobs_ = 0;
  int64_t n_slots_ = 0, n_shared_rows_ = 0;
};

}  // namespace larder::runtime
