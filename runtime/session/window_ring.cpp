#include "runtime/session/window_ring.h"

#include <algorithm>

#include "quant/kernel_set.h"

namespace larder::runtime {
namespace {

constexpr int32_t kBackShare = 8, kLeastBack = 2048;

}  // namespace

int32_t WindowRing::places_for(const Window& window, int32_t capacity,
                               int32_t longest_pass) noexcept {
  if (window.kind == WindowKind::none) return capacity;
  const int64_t n_back = std::max(capacity / kBackShare, kLeastBack);
  const int64_t n = int64_t{window.width} + longest_pass - 1 + n_back;
  constexpr int64_t kBlock = quant::kAttentionBlock;
  const int64_t n_places = (n + kBlock - 1) / kBlock * kBlock;
  return static_cast<int32_t>(std::min<int64_t>(n_places, capacity));
}

void WindowRing::make_room(int32_t end) noexcept {
  first_held_ = std::max(first_held_, end - n_places_);
}

void WindowRing::hold(int32_t first, int32_t n_positions) noexcept {
  first_held_ = std::max(first, n_positions - n_places_);
}

}  // namespace larder::runtime
