// How routed experts lie in a slab of fixed slots: experts of one size share a pool of slots that
// each hold one expert, all its matrices as they were read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/experts/expert_policy.h"
#include "runtime/model/model_config.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

struct ExpertPool {
  uint64_t slot_bytes = 0;
  int64_t n_experts = 0;  // of all its layers
  int32_t n_active = 0;   // the most that a token uses in one layer
};

// One expert's way into its slot.
struct ExpertSpans {
  std::array<FileRange, 3> ranges;  // the first n_ranges; neighbours in the file are one
  size_t n_ranges = 0;
  size_t gate = 0, up = 0, down = 0;  // where each matrix begins in the slot

  uint64_t read_bytes() const noexcept;
};

class ExpertLayout {
 public:
  // The weights must outlive it.
  ExpertLayout(const ModelConfig& config, const ModelWeights& weights);

  bool is_empty() const noexcept { return pools_.empty(); }  // no layer has routed experts
  std::span<const ExpertPool> pools() const noexcept { return pools_; }
  int32_t pool_of(int layer) const noexcept { return layers_[static_cast<size_t>(layer)].pool; }
  ExpertSpans spans(int layer, int32_t expert) const noexcept;

  int64_t n_experts() const noexcept;     // of all layers
  uint64_t all_bytes() const noexcept;    // a slab with a slot for each
  uint64_t file_bytes() const noexcept;   // what they take in the file
  uint64_t cycle_bytes() const noexcept;  // what one token uses
  // The least slab: a token's experts of any one layer fit at once.
  uint64_t floor_bytes() const noexcept;
  // Slots of each pool in a slab of this size, in proportion to the pools' experts.
  // REQUIRES: slab_bytes >= floor_bytes()
  std::vector<int32_t> slots_for(uint64_t slab_bytes) const;
  uint64_t bytes_for(std::span<const int32_t> pool_slots) const noexcept;
  size_t max_pieces(std::span<const int32_t> pool_slots) const;
  ExpertPolicyShape policy_shape(std::vector<int32_t> pool_slots) const;

 private:
  struct Layer {
    int32_t pool = -1;
    const LayerWeights* weights = nullptr;
    int32_t n_active = 0;
    size_t max_pieces = 0;
  };
  int32_t pool_for(uint64_t slot_bytes);

  std::vector<ExpertPool> pools_;
  std::vector<Layer> layers_;
};

}  // namespace larder::runtime
