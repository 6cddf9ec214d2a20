// Whose pass it is, where several sessions share a store of experts: in the order they came.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace larder::runtime {

class PassTurns {
 public:
  // Ends when it goes. False: there is none, as `cancel` was raised first.
  class Turn {
   public:
    explicit Turn(PassTurns* turns) noexcept : turns_(turns) {}
    ~Turn() {
      if (turns_) turns_->end();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    explicit operator bool() const noexcept { return turns_ != nullptr; }

   private:
    PassTurns* turns_;
  };
  // Waits as long as the passes of those before take, unless cancelled.
  Turn take(const std::atomic<bool>* cancel = nullptr) noexcept;
  int n_waiting() noexcept;

 private:
  struct Waiter {
    Waiter* next = nullptr;
    bool has_turn = false;
  };
  void append(Waiter& waiter) noexcept;
  void remove(Waiter& waiter) noexcept;
  void end() noexcept;

  std::mutex mutex_;
  std::condition_variable turn_began_;
  Waiter* first_ = nullptr;
  bool is_taken_ = false;
};

}  // namespace larder::runtime
