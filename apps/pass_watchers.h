// Observers of forward passes that measure and steer nothing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "apps/timings.h"
#include "runtime/forward/forward.h"

namespace larder::apps {

// Time by part. What passes between two calls belongs to the part that ends with the second.
class PartClock : public runtime::ForwardObserver {
 public:
  void part_done(runtime::PassPart part) override;
  bool sees_every_row() const noexcept override { return false; }  // what a pass costs unobserved
  void start() { last_ = watch_.seconds(); }  // before each pass; time between passes is no part's
  void reset() { seconds_ = {}; }
  const std::array<double, runtime::kNumPassParts>& seconds() const noexcept { return seconds_; }

 private:
  Stopwatch watch_;
  double last_ = 0;
  std::array<double, runtime::kNumPassParts> seconds_{};
};

// Which experts were touched, counted once a pass and layer.
class ExpertCounter : public PartClock {
 public:
  explicit ExpertCounter(const runtime::Model& model);
  void routes(int layer, int32_t* experts, float* weights, int n_rows, int n_active) override;
  void forget();
  uint64_t n_touched() const noexcept { return n_touched_; }          // of all layers and passes
  uint64_t bytes_touched() const noexcept { return bytes_touched_; }  // of their weights
  uint64_t n_layer_passes() const noexcept { return n_layer_passes_; }

 private:
  std::vector<uint64_t> expert_bytes_;  // of one expert, by layer
  std::vector<bool> is_touched_;        // in the present pass and layer
  uint64_t n_touched_ = 0, bytes_touched_ = 0, n_layer_passes_ = 0;
};

}  // namespace larder::apps
