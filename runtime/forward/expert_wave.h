// The experts of a layer whose weights are pinned at the same time, and the matmuls to do with
// them. One wave where the store can pin all; otherwise as many as it takes, each expert in one.
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
  // Gives back the wave before, pins the next experts and writes the jobs. Empty behind the last
  // wave, and after a failure, which the pass then holds.
  void next(const LayerStep& layer) noexcept;

  bool is_empty() const noexcept { return n_up_jobs_ == 0; }
  size_t n_up_jobs() const noexcept { return n_up_jobs_; }      // space.up_jobs
  size_t n_down_jobs() const noexcept { return n_down_jobs_; }  // space.down_jobs
  int64_t first_slot() const noexcept { return first_slot_; }
  int64_t n_slots() const noexcept { return n_slots_; }
  // All rows in the first wave of a layer with a shared expert, else none.
  int64_t n_shared_rows() const noexcept { return n_shared_rows_; }

 private:
  int32_t pin_next(const LayerStep& layer) noexcept;
  void add_expert(const LayerStep& layer, int32_t expert, const ExpertWeights& weights) noexcept;
  void add_shared(const LayerStep& layer) noexcept;

  int32_t n_used_ = 0;    // experts with slots: space.used
  int32_t n_taken_ = 0;   // of them, in this wave and those before
  int32_t n_pinned_ = 0;  // space.pins
  bool is_first_ = true;
  size_t n_up_jobs_ = 0, n_down_jobs_ = 0;
  int64_t first_slot_ = 0, n_slots_ = 0, n_shared_rows_ = 0;
};

}  // namespace larder::runtime
