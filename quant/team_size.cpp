#include "quant/team_size.h"

#include <algorithm>

namespace larder::quant {
namespace {

// Shorter regions say nothing: the scheduler's slices are 3 ms long (Linux 6.6 and later).
constexpr int64_t kLeastWallNs = 1'000'000;
constexpr int kIdleRegions = 2;  // one behind the other, before a thread is left out
// Between tries, regions; doubled by each that fails. A try costs about another region.
constexpr int kFirstRest = 8, kLongestRest = 64;
// Of a thread: a team must be better than one thread fewer by this, or its last one is not worth
// what it takes from the neighbours.
constexpr double kLeastGain = 0.1;

// Of a region: a neighbour that takes half a processor delays a thread by half of it. Programs that
// run for a moment, and threads that read for this one, stay below.
constexpr double kLeastDelay = 0.25;

double share(int64_t part_ns, const RegionUse& use) noexcept {
  return static_cast<double>(part_ns) / static_cast<double>(use.wall_ns);
}

// Whether one thread fewer, undisturbed, would do the same.
bool is_idle(const RegionUse& use) noexcept {
  return use.n_threads > 1 && share(use.useful_ns, use) < use.n_threads - 1 + kLeastGain;
}

// Threads that wait for a disk are no reason to have fewer.
bool is_crowded(const RegionUse& use) noexcept {
  return is_idle(use) && share(use.delayed_ns, use) >= kLeastDelay;
}

}  // namespace

void TeamSize::learn(const RegionUse& use) noexcept {
  if (use.wall_ns < kLeastWallNs) return;
  if (use.n_threads > size_) return end_try(!is_crowded(use));
  if (n_until_try_ > 0) --n_until_try_;
  n_idle_ = is_idle(use) ? n_idle_ + 1 : 0;
  if (n_idle_ < kIdleRegions) return;
  n_idle_ = 1;  // the next is looked at, too
  if (!is_crowded(use)) return;
  n_idle_ = 0;
  --size_;
  n_rest_ = n_until_try_ = kFirstRest;
}

void TeamSize::end_try(bool was_worth_it) noexcept {
  if (was_worth_it) ++size_;
  n_rest_ = was_worth_it ? kFirstRest : std::min(2 * n_rest_, kLongestRest);
  n_until_try_ = n_rest_;
}

}  // namespace larder::quant
