#include "quant/team_size.h"

#include <algorithm>

namespace larder::quant {
namespace {

// Shorter regions say nothing: the scheduler's slices are 3 ms long (Linux 6.6 and later).
constexpr int64_t kLeastWallNs = 1'000'000;
constexpr int kCrowdedRegions = 2;  // one behind the other, before a thread is left out
// Between tries, regions; doubled by each that fails. A try costs about another region.
constexpr int kFirstRest = 8, kLongestRest = 64;
// Of a thread: a team must be better than one thread fewer by this, or its last one is not worth
// what it takes from the neighbours.
constexpr double kLeastGain = 0.1;

// Whether one thread fewer, undisturbed, would do the same. Threads that wait for a disk are no
// reason: nobody took their processor.
bool is_crowded(const RegionUse& use) noexcept {
  if (use.n_threads == 1 || use.n_preempted == 0) return false;
  const double n_useful = static_cast<double>(use.useful_ns) / static_cast<double>(use.wall_ns);
  return n_useful < use.n_threads - 1 + kLeastGain;
}

}  // namespace

void TeamSize::learn(const RegionUse& use) noexcept {
  if (use.wall_ns < kLeastWallNs) return;
  const bool crowded = is_crowded(use);
  if (use.n_threads > size_) return end_try(!crowded);
  if (n_until_try_ > 0) --n_until_try_;
  n_crowded_ = crowded ? n_crowded_ + 1 : 0;
  if (n_crowded_ < kCrowdedRegions) return;
  n_crowded_ = 0;
  --size_;
  n_rest_ = n_until_try_ = kFirstRest;
}

void TeamSize::end_try(bool was_worth_it) noexcept {
  if (was_worth_it) ++size_;
  n_rest_ = was_worth_it ? kFirstRest : std::min(2 * n_rest_, kLongestRest);
  n_until_try_ = n_rest_;
}

}  // namespace larder::quant
