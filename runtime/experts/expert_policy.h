// Which experts stay in a fixed number of slots, and which one goes when another is needed. Pure:
// no I/O, no clock, no allocation after construction; the same calls give the same slots.
//
// Of every expert it estimates the chance that the next token uses it, from how often and how
// lately it was used. The victim is the resident with the least chance for the time it would still
// wait: layers come round once a token, so an expert of a layer just ahead is worth more than one
// of the layer that was computed just now. That holds below one token cycle, too, where evicting
// the least recently used would evict everything just before it is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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

// The experts that rows of a batch chose in one layer.
struct LayerRoutes {
  int layer = 0;
  std::span<const int32_t> experts;  // [n_rows][n_active]
  int32_t n_active = 0;
  int32_t n_sequences = 1;  // that the rows belong to; a row a sequence: decoding
};

// Where an expert is, or goes.
struct ExpertPlace {
  int32_t slot = -1;
  bool is_hit = false;  // it was there, or is on its way
};

class ExpertPolicy {
 public:
  explicit ExpertPolicy(const ExpertPolicyShape& shape);

  // What a policy of this shape holds in memory.
  static size_t bytes(const ExpertPolicyShape& shape) noexcept;

  // Counts what a layer's rows chose, once a layer and step, before its experts are taken. All of
  // them are wanted until they were taken: as far as possible none is evicted in between. The last
  // rows of a prompt count most, as if its tokens had come one by one.
  void observe(const LayerRoutes& routes) noexcept;

  // The slot of an expert, or -1. Changes nothing.
  int32_t find(int layer, int32_t expert) const noexcept;

  // Pins the expert's slot; where it has none, the one of the worst resident that is not pinned,
  // which the caller then fills. slot -1: all slots of the pool are pinned.
  ExpertPlace take(int layer, int32_t expert) noexcept;

  // The same for an expert that a prediction names with this chance (0 to 1): slot -1 also where
  // the resident that would go is worth as much. Until observe() sees the expert used it is the
  // first to go. REQUIRES: find(layer, expert) < 0
  ExpertPlace take_ahead(int layer, int32_t expert, float chance) noexcept;

  // Takes a pin back. Pins are counted. REQUIRES: the slot is pinned
  void release(int32_t slot) noexcept;
  // The slot holds no expert: reading it failed. It stays pinned as it is.
  void drop(int32_t slot) noexcept;

  // The chance, as estimated, that the next token uses the expert.
  float chance(int layer, int32_t expert) const noexcept;

  int32_t first_slot(int32_t pool) const noexcept;
  int32_t n_slots() const noexcept;  // of all pools

  // Long-run use, by layer, then by expert: how often in a token. What is imported counts like a
  // prompt of `weight_tokens` tokens. REQUIRES: size is n_experts()
  size_t n_experts() const noexcept;  // of all layers
  void export_use(std::span<float> use) const noexcept;
  void import_use(std::span<const float> use, float weight_tokens) noexcept;

 private:
  struct Layer;
  struct Slot;
};

}  // namespace larder::runtime
