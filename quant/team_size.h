// How many threads of a team are worth running. Where other programs run too, a thread is taken off
// its processor now and then, and all others wait for it at the next barrier: beside one busy
// neighbour a team of all processors then does half of its work, one of all but one nearly all.
#pragma once

#include <cstdint>

namespace larder::quant {

// What the threads of a region did together.
struct RegionUse {
  int n_threads = 1;
  int64_t wall_ns = 0;
  int64_t useful_ns = 0;   // on processors, and not waiting for each other
  int64_t delayed_ns = 0;  // ready to go on, but without a processor; 0 where nobody asked
};

// Goes down where fewer threads would have done as much, and tries one more from time to time. Only
// the speed depends on it.
class TeamSize {
 public:
  explicit TeamSize(int most) noexcept : most_(most), size_(most) {}
  // Threads of the next region.
  int next() const noexcept { return tries_more() ? size_ + 1 : size_; }
  // Whether delays of the next region matter. Asking the system for them costs as much as 20 us.
  bool asks_for_delays() const noexcept { return n_idle_ > 0 || tries_more(); }
  void learn(const RegionUse& use) noexcept;

 private:
  bool tries_more() const noexcept { return size_ < most_ && n_until_try_ == 0; }
  void end_try(bool was_worth_it) noexcept;

  int most_, size_;
  int n_idle_ = 0;                    // regions one behind another in which threads waited much
  int n_rest_ = 0, n_until_try_ = 0;  // regions
};

}  // namespace larder::quant
