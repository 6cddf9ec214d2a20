// Where routed experts' weights are when a layer needs them. The forward pass asks, computes with
// what is there while the rest comes, and gives back; whether an expert is mapped, cached or read
// from disk it cannot tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "formats/status.h"
#include "quant/grouped_matmul.h"
#include "runtime/experts/expert_policy.h"
#include "runtime/experts/expert_statistics.h"
#include "runtime/experts/pass_turns.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

struct ExpertWeights {
  quant::Matrix gate, up;  // [d_ff][d_model]; gate has no data where experts have none
  quant::Matrix down;      // [d_model][d_ff]
};

// A pinned expert: its weights stay where they are until it is released.
struct ExpertPin {
  int32_t layer = 0, expert = 0;
  int32_t slot = -1;  // the store's own
};

// Called by one thread at a time: by whoever has the turn.
class ExpertStore {
 public:
  virtual ~ExpertStore() = default;

  PassTurns& turns() noexcept { return turns_; }

  // The most experts of a layer that can be pinned at once: at least 1, and 0 of a dense layer.
  virtual int32_t max_pins(int layer) const noexcept = 0;
  // What a layer's rows chose, once a layer and pass, before the first request.
  virtual void observe(const LayerRoutes& routes) noexcept = 0;
  // Whether the expert is in memory or on its way.
  virtual bool has(int layer, int32_t expert) const noexcept = 0;
  // Pins the experts, pins[i] for experts[i], and starts to bring those that are not at hand; does
  // not wait for them. On an error nothing of this request is pinned.
  // REQUIRES: experts are distinct, of one layer with all that are pinned, and at most max_pins()
  // with those.
  virtual Status request(int layer, std::span<const int32_t> experts,
                         std::span<ExpertPin> pins) = 0;
  // Moves pins that wait() answers at once to the front and returns how many; where there are none,
  // and `waits`, waits for one.
  virtual size_t gather(std::span<ExpertPin> pins, bool waits) = 0;
  // The weights of a pinned expert, once they are there. Errors: `io`, `truncated`, `changed`; the
  // expert stays pinned.
  virtual Status wait(const ExpertPin& pin, ExpertWeights& weights) = 0;
  virtual void release(std::span<const ExpertPin> pins) noexcept = 0;

  // Whether predict() is worth its price in this pass; asked behind observe().
  virtual bool wants_predictions() const noexcept { return false; }
  // What a later layer may ask for, the most likely first. Never waits, never fails.
  virtual void predict(int layer, std::span<const int32_t> experts) noexcept;

  virtual size_t bytes() const noexcept = 0;  // of weights that the store holds
  // None where nothing is read.
  virtual std::optional<ExpertStatistics> statistics() const { return std::nullopt; }
  // How experts were used; null where all are at hand, and no use is counted.
  virtual const ExpertForecast* forecast() const noexcept { return nullptr; }
  // Use in earlier runs, as ExpertForecast exports it. What was used most begins to be read, while
  // nothing is asked for yet.
  virtual void import_use(std::span<const float>, float /*n_tokens*/) noexcept {}

 private:
  PassTurns turns_;
};

// Experts where the mapped file has them; nothing is held, nothing waits.
// `weights` must outlive the store.
std::unique_ptr<ExpertStore> make_mapped_expert_store(const ModelWeights& weights);

}  // namespace larder::runtime
