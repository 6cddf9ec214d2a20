// Which experts stay in a fixed number of slots, and which one goes when another is needed. Pure:
// no I/O, no clock, no allocation after construction; the same calls give the same slots.
//
// The victim is the resident that is least likely used for the time it would still wait: layers
// come round once a token, so an expert of a layer just ahead is worth more than one of the layer
// that was computed just now. That holds below one token cycle, too, where evicting the least
// recently used would evict everything just before it is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/experts/expert_forecast.h"

namespace larder::runtime {

struct ExpertLayerShape {
  int32_t n_experts = 0;  // 0: a dense layer
  int32_t pool = 0;       // index into pool_slots
};

// Experts of one size share a pool of slots. Slots are numbered through all pools: those of pool 0,
// then those of pool 1, ...
struct ExpertPolicyShape {
  std::vector<ExpertLayerShape> layers;  // of all layers, so that indices are the model's
  std::vector<int32_t> pool_slots;
};

// Where an expert is, or goes.
struct ExpertPlace {
  int32_t slot = -1;
  bool is_hit = false;  // it was there, or is on its way
};

class ExpertPolicy {
 public:
  // REQUIRES: pools exist
  explicit ExpertPolicy(const ExpertPolicyShape& shape);

  // What a policy of this shape holds in memory.
  static size_t bytes(const ExpertPolicyShape& shape) noexcept;

  // Counts what a layer's rows chose, once a layer and step, before its experts are taken. All of
  // them are wanted until they are taken: as far as possible none is evicted in between. The last
  // rows of a prompt count most, as if its tokens had come one by one.
  void observe(const LayerRoutes& routes) noexcept;

  // The slot of an expert, or -1. Changes nothing.
  int32_t find(int layer, int32_t expert) const noexcept;

  // Pins the expert's slot; where it has none, a free one or that of the worst resident that is not
  // pinned, which the caller then fills. slot -1: all slots of the pool are pinned.
  ExpertPlace take(int layer, int32_t expert) noexcept;

  // The same for an expert that a prediction names with this chance (0 to 1), which then holds
  // until the layer is observed. slot -1 also where the resident that would go is worth as much.
  // REQUIRES: find(layer, expert) < 0
  ExpertPlace take_ahead(int layer, int32_t expert, float chance) noexcept;

  // Takes a pin back. Pins are counted. REQUIRES: the slot is pinned
  void release(int32_t slot) noexcept;
  // What the slot should hold could not be read: the expert has no slot any more, and this one is
  // free when its last pin is gone. REQUIRES: the slot is pinned
  void drop(int32_t slot) noexcept;

  const ExpertForecast& forecast() const noexcept { return forecast_; }
  void import_use(std::span<const float> use, float n_tokens) noexcept;

  int32_t first_slot(int32_t pool) const noexcept;
  int32_t n_slots() const noexcept { return static_cast<int32_t>(slots_.size()); }

 private:
  struct Expert {
    int32_t slot = -1;
    int32_t place = 0;  // in residents_, where it has a slot
    bool is_wanted = false;
    float foretold = 0;  // by a prediction of this token
  };
  struct Layer {
    int32_t n_experts = 0, pool = 0;
    size_t first = 0;         // in experts_ and residents_
    int32_t n_residents = 0;  // residents_[first ...], experts in no order
    int32_t worst = -1;       // the resident to go first; -1: none can
    bool knows_worst = true;
  };
  struct Slot {
    int32_t layer = -1, expert = -1;  // -1: holds none
    int32_t n_pins = 0;
    int32_t next_free = -1;
  };
  struct Pool {
    int32_t first_slot = 0, first_free = -1;
  };
  struct Victim {
    int layer = -1;
    int32_t expert = -1;
    float worth = 0;
    bool is_wanted = false;
  };

  Expert& at(int layer, int32_t expert) noexcept {
    return experts_[layers_[static_cast<size_t>(layer)].first + static_cast<size_t>(expert)];
  }
  const Expert& at(int layer, int32_t expert) const noexcept {
    return experts_[layers_[static_cast<size_t>(layer)].first + static_cast<size_t>(expert)];
  }
  float chance(int layer, int32_t expert) const noexcept;
  int32_t find_worst(int layer) noexcept;
  float worth(int layer, float chance) const noexcept;
  Victim find_victim(int32_t pool) noexcept;
  int32_t free_slot(Pool& pool) noexcept;
  int32_t evict(const Victim& victim) noexcept;
  void settle(int layer, int32_t expert, int32_t slot) noexcept;
  void leave(const Slot& slot) noexcept;

  ExpertForecast forecast_;
  std::vector<Expert> experts_;
  std::vector<int32_t> residents_;
  std::vector<Layer> layers_;
  std::vector<Slot> slots_;
  std::vector<Pool> pools_;
  std::vector<float> nearness_;  // [n_layers]: of a layer that comes in 1, 2, ... steps
  int layer_now_ = 0;            // observed last
};

}  // namespace larder::runtime
