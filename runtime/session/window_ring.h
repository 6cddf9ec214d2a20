// Which positions of a sequence its layers with a window hold: the last ones, in a ring.
#pragma once

#include <cstdint>

#include "runtime/model/model_config.h"

namespace larder::runtime {

class WindowRing {
 public:
  // Positions that such layers hold, of a sequence of `capacity` to which one pass appends
  // `longest_pass` at most: what a pass sees and stores, and as many before as a conversation goes
  // back, an eighth of the capacity, or 2048 where that is more. What one turn thinks and answers,
  // which many templates leave out of the next, is mostly less; what is lost is computed again from
  // the beginning. At most the capacity: then nothing is lost.
  static int32_t places_for(const Window& window, int32_t capacity, int32_t longest_pass) noexcept;

  WindowRing() = default;
  // REQUIRES: n_places == places_for() of this window and of passes that are no longer than any.
  WindowRing(const Window& window, int32_t n_places) noexcept
      : window_(window), n_places_(n_places) {}

  int32_t n_places() const noexcept { return n_places_; }
  int32_t first_held() const noexcept { return first_held_; }
  // Positions below `end` are about to be stored: the oldest give way.
  void make_room(int32_t end) noexcept;
  // The highest position up to `position` from which the sequence can go on: that, or 0.
  int32_t restorable(int32_t position) const noexcept {
    return window_.first_visible(position) >= first_held_ ? position : 0;
  }
  // REQUIRES: position == restorable(position).
  void restore(int32_t position) noexcept {
    if (position == 0) first_held_ = 0;
  }
  // Holds the last of n_positions of another sequence.
  void copy_from(const WindowRing& other, int32_t n_positions) noexcept {
    hold(other.first_held_, n_positions);
  }
  // Holds positions [first, n_positions), or the last of them that there are places for.
  void hold(int32_t first, int32_t n_positions) noexcept;

 private:
  Window window_;
  int32_t n_places_ = 0, first_held_ = 0;
};

}  // namespace larder::runtime
