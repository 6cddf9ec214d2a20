// Where routed experts' weights are when a layer needs them. The forward pass asks, waits, computes
// and gives back; whether an expert is mapped, cached or read from disk it cannot tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "formats/status.h"
#include "quant/grouped_matmul.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

struct ExpertWeights {
  quant::Matrix gate, up;  // [d_ff][d_model]
  quant::Matrix down;      // [d_model][d_ff]
};

// A pinned expert: its weights stay where they are until it is released.
struct ExpertPin {
  int32_t layer = 0, expert = 0;
  int32_t slot = -1;  // the store's own
};

// Called by one thread at a time.
class ExpertStore {
 public:
  virtual ~ExpertStore() = default;

  // The most experts of a layer that can be pinned at once; at least 1.
  virtual int32_t max_pins(int layer) const noexcept = 0;
  // Pins the experts, pins[i] for experts[i], and starts to bring those that are not at hand; does
  // not wait. On an error nothing is pinned.
  // REQUIRES: experts are distinct, at most max_pins(), and all earlier pins are released.
  virtual Status request(int layer, std::span<const int32_t> experts,
                         std::span<ExpertPin> pins) = 0;
  // The weights of a pinned expert, once they are there. Errors: `io`, `truncated`, `changed`; the
  // expert stays pinned.
  virtual Status wait(const ExpertPin& pin, ExpertWeights& weights) = 0;
  virtual void release(std::span<const ExpertPin> pins) noexcept = 0;

  virtual size_t bytes() const noexcept = 0;  // of memory that the store holds
};

// Experts where the mapped file has them; nothing is held, nothing waits.
// `weights` must outlive the store.
std::unique_ptr<ExpertStore> make_mapped_expert_store(const ModelWeights& weights);

}  // namespace larder::runtime
