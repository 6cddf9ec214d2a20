#include "runtime/experts/pass_turns.h"

#include <chrono>

namespace larder::runtime {
namespace {

constexpr std::chrono::milliseconds kMoment{20};  // a cancellation may wait so long

}  // namespace

PassTurns::Turn PassTurns::take(const std::atomic<bool>* cancel) noexcept {
  std::unique_lock lock(mutex_);
  if (!is_taken_) {
    is_taken_ = true;
    return Turn(this);
  }
  Waiter self;
  append(self);
  while (!self.has_turn) {
    turn_began_.wait_for(lock, kMoment);
    if (self.has_turn || !cancel || !cancel->load(std::memory_order_relaxed)) continue;
    remove(self);
    return Turn(nullptr);
  }
  return Turn(this);
}

int PassTurns::n_waiting() noexcept {
  const std::lock_guard lock(mutex_);
  int n = 0;
  for (const Waiter* waiter = first_; waiter; waiter = waiter->next) ++n;
  return n;
}

void PassTurns::append(Waiter& waiter) noexcept {
  Waiter** at = &first_;
  while (*at) at = &(*at)->next;
  *at = &waiter;
}

void PassTurns::remove(Waiter& waiter) noexcept {
  Waiter** at = &first_;
  while (*at != &waiter) at = &(*at)->next;
  *at = waiter.next;
}

void PassTurns::end() noexcept {
  {
    const std::lock_guard lock(mutex_);
    is_taken_ = first_ != nullptr;
    if (!is_taken_) return;
    first_->has_turn = true;
    first_ = first_->next;
  }
  turn_began_.notify_all();
}

}  // namespace larder::runtime
