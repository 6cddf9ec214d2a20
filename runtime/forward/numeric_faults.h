// Numbers that are not finite, noticed where they arise. A pass with any is an error: a logit that
// is returned is finite.
#pragma once

#include <atomic>
#include <cstdint>

#include "formats/status.h"

namespace larder::runtime {

struct Pass;

// The lowest row at which something was noticed, whichever thread noticed it first.
class RowFlag {
 public:
  void raise(int64_t row) noexcept {
    int64_t seen = row_.load(std::memory_order_relaxed);
    while (row < seen && !row_.compare_exchange_weak(seen, row, std::memory_order_relaxed)) {
    }
  }
  bool is_raised() const noexcept { return row() != kNone; }
  int64_t row() const noexcept { return row_.load(std::memory_order_relaxed); }

 private:
  static constexpr int64_t kNone = INT64_MAX;
  std::atomic<int64_t> row_ = kNone;
};

struct NumericFaults {
  RowFlag embedding;
  RowFlag mixer, router, layer;  // of the layer that is being run: behind attention, and behind all
  RowFlag source;                // behind an encoder's last norm
  RowFlag logits;

  // The first of a layer's faults, or ok. REQUIRES: called behind that layer.
  Status of_layer(const Pass& pass, int index) const noexcept;
  Status of_embedding(const Pass& pass) const noexcept;
  Status of_source(const Pass& pass) const noexcept;
  Status of_logits(const Pass& pass) const noexcept;
};

}  // namespace larder::runtime
