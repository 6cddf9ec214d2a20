// States that layers carry from position to position, and copies of them at earlier positions: a
// state cannot be run backwards, so a sequence goes back to the newest copy and on from there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/model/model_config.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {

// What one layer carries, at the places that a snapshot of a sequence has for it.
struct CarriedState {
  float* window = nullptr;  // [n_taps - 1][n_channels]: the last inputs, the oldest first
  float* heads = nullptr;   // gated_delta_net: [n_heads][delta_state_floats(d_key, d_value)]
};

class CarriedStates {
 public:
  // Earlier positions that a sequence can go back to, beside its beginning.
  static constexpr int kCheckpoints = 3;

  // Lays snapshots of all layers out: the present one, the one that a pass writes, and checkpoints.
  // Until clear(), memory of the arena must be zeroed.
  void lay_out(const ModelConfig& config, Arena& arena);
  // Begins anew. REQUIRES: laid out.
  void clear() noexcept;
  // The same as lay_out() without any states.
  static void count(const ModelConfig& config, Arena& arena) noexcept;

  // Before the first of new positions, and behind the last of them. A pass writes all of the latter
  // in every layer that carries a state; before advance() it changes nothing else.
  CarriedState present(int layer) const noexcept { return at(present_, layer); }
  CarriedState next(int layer) const noexcept { return at(next_, layer); }
  // What a pass wrote becomes the present, at `position`. Passes of several positions end where
  // conversations part from each other, behind prompts: some of the places where they ended stay
  // within reach, the nearer the closer together.
  void advance(int32_t position) noexcept;

  // The highest position up to `position` that restore() can reach.
  int32_t restorable(int32_t position) const noexcept;
  // Makes that position the present. REQUIRES: position == restorable(position).
  void restore(int32_t position) noexcept;
  // All that the present is; empty without states.
  std::span<const float> present_floats() const noexcept;
  // Holds no checkpoints and a present at `position`, whose floats the caller then writes.
  std::span<float> begin_at(int32_t position) noexcept;
  // The present of `other`, and no checkpoints. REQUIRES: both of the same model.
  void copy_from(const CarriedStates& other) noexcept;

 private:
  static constexpr int kSnapshots = 2 + kCheckpoints;
  static constexpr int32_t kFree = -1;
  struct Snapshot {
    float* data = nullptr;
    int32_t position = kFree;
    bool is_kept = false;  // stays as a checkpoint when it is no longer the present
  };
  struct Offsets {
    size_t window = 0, heads = 0;
  };
  CarriedState at(size_t snapshot, int layer) const noexcept {
    const Offsets& offsets = offsets_[static_cast<size_t>(layer)];
    float* const data = snapshots_[snapshot].data;
    return {data + offsets.window, data + offsets.heads};
  }
  int32_t newest_before(int32_t position) const noexcept;
  void choose_next() noexcept;

  std::vector<Snapshot> snapshots_;  // empty: no layer carries a state
  std::vector<Offsets> offsets_;     // [n_layers]
  size_t n_floats_ = 0;              // of a snapshot
  size_t present_ = 0, next_ = 1;
};

}  // namespace larder::runtime
