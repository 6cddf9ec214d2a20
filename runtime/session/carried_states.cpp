#include "runtime/session/carried_states.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "quant/kernel_set.h"

namespace larder::runtime {
namespace {

// Parts of a snapshot begin at whole cache lines.
constexpr size_t kLineFloats = 16;

size_t window_floats(const LayerConfig& layer) noexcept {
  if (!layer.carries_state()) return 0;
  const auto n = static_cast<size_t>(layer.n_taps - 1) * static_cast<size_t>(layer.n_channels);
  return (n + kLineFloats - 1) / kLineFloats * kLineFloats;
}

size_t heads_floats(const LayerConfig& layer) noexcept {
  if (layer.mixer != Mixer::gated_delta_net) return 0;
  return static_cast<size_t>(layer.n_heads) * quant::delta_state_floats(layer.d_key, layer.d_value);
}

}  // namespace

void CarriedStates::lay_out(const ModelConfig& config, Arena& arena) {
  for (const LayerConfig& layer : config.layers) {
    const size_t window = n_floats_, heads = window + window_floats(layer);
    offsets_.push_back({window, heads});
    n_floats_ = heads + heads_floats(layer);
  }
  if (n_floats_ == 0) return;
  snapshots_.resize(kSnapshots);
  for (Snapshot& snapshot : snapshots_) snapshot.data = arena.take<float>(n_floats_);
  present_ = 0;
  next_ = 1;
  snapshots_[present_].position = 0;
}

void CarriedStates::clear() noexcept {
  if (snapshots_.empty()) return;
  for (Snapshot& snapshot : snapshots_) snapshot.position = kFree;
  std::memset(snapshots_[present_].data, 0, sizeof(float) * n_floats_);
  snapshots_[present_].position = 0;
  snapshots_[present_].is_kept = false;
  choose_next();
}

void CarriedStates::count(const ModelConfig& config, Arena& arena) noexcept {
  size_t n_floats = 0;
  for (const LayerConfig& layer : config.layers)
    n_floats += window_floats(layer) + heads_floats(layer);
  for (int i = 0; i < kSnapshots; ++i) arena.take<float>(n_floats);
}

void CarriedStates::advance(int32_t position) noexcept {
  if (snapshots_.empty()) return;
  Snapshot& present = snapshots_[present_];
  snapshots_[next_].position = position;
  snapshots_[next_].is_kept = position - present.position > 1;
  if (!present.is_kept) present.position = kFree;
  present_ = next_;
  choose_next();
}

// Of checkpoints.
int32_t CarriedStates::newest_before(int32_t position) const noexcept {
  int32_t newest = 0;
  for (const Snapshot& snapshot : snapshots_)
    if (snapshot.is_kept && snapshot.position < position)
      newest = std::max(newest, snapshot.position);
  return newest;
}

// A free snapshot, or else the checkpoint that is missed least. Without it, going back to just
// before the one behind it begins at the one before it: how much is then computed again, relative
// to how far it was to go? The oldest of equals.
void CarriedStates::choose_next() noexcept {
  const int32_t end = snapshots_[present_].position;
  double least = 0;
  bool found = false;
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    const int32_t position = snapshots_[i].position;
    if (i == present_) continue;
    if (position == kFree) {
      next_ = i;
      return;
    }
    const int32_t before = newest_before(position);
    int32_t behind = end;
    for (const Snapshot& other : snapshots_)
      if (other.position > position) behind = std::min(behind, other.position);
    const double cost =
        static_cast<double>(behind - before) / static_cast<double>(end - behind + 1);
    if (found && (cost > least || (cost == least && position > snapshots_[next_].position)))
      continue;
    found = true;
    least = cost;
    next_ = i;
  }
  snapshots_[next_].position = kFree;
}

int32_t CarriedStates::restorable(int32_t position) const noexcept {
  if (snapshots_.empty()) return position;
  int32_t best = 0;
  for (const Snapshot& snapshot : snapshots_)
    if (snapshot.position <= position) best = std::max(best, snapshot.position);
  return best;
}

void CarriedStates::restore(int32_t position) noexcept {
  if (snapshots_.empty() || snapshots_[present_].position == position) return;
  bool found = false;
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    if (snapshots_[i].position > position) snapshots_[i].position = kFree;
    if (snapshots_[i].position != position) continue;
    present_ = i;
    found = true;
  }
  if (!found) {
    assert(position == 0);
    return clear();
  }
  choose_next();
}

std::span<const float> CarriedStates::present_floats() const noexcept {
  if (snapshots_.empty()) return {};
  return {snapshots_[present_].data, n_floats_};
}

std::span<float> CarriedStates::begin_at(int32_t position) noexcept {
  if (snapshots_.empty()) return {};
  for (Snapshot& snapshot : snapshots_) snapshot.position = kFree;
  Snapshot& present = snapshots_[present_];
  present.position = position;
  present.is_kept = position > 0;
  choose_next();
  return {present.data, n_floats_};
}

void CarriedStates::copy_from(const CarriedStates& other) noexcept {
  assert(n_floats_ == other.n_floats_);
  if (snapshots_.empty()) return;
  const Snapshot& from = other.snapshots_[other.present_];
  const std::span<float> floats = begin_at(from.position);
  std::memcpy(floats.data(), from.data, floats.size_bytes());
}

}  // namespace larder::runtime
