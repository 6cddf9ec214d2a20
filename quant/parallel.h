// Threads. The only OpenMP in the house: everything above speaks of teams.
//
// A region runs the same function on every thread of a team (SPMD). Inside, work is split into
// items whose results do not depend on which thread computes them.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "quant/team_size.h"

namespace larder::quant {

struct TeamState;  // barrier and counters, shared by the threads of one region

// One thread's view of the team that runs a region.
class Team {
 public:
  Team(TeamState& state, int thread, int n_threads) noexcept
      : state_(state), thread_(thread), n_threads_(n_threads) {}
  int thread() const noexcept { return thread_; }
  int n_threads() const noexcept { return n_threads_; }

  // Waits for all threads of the team: spins briefly, then sleeps.
  void barrier() noexcept;

  // Calls f(i) for i in [0, n), each once, on whichever thread is free; ends with a barrier.
  // Every thread of the team must call it with the same n.
  template <class F>
  void for_each(int64_t n, F&& f) noexcept {
    begin_items();
    for (int64_t i; (i = next_item()) < n;) f(i);
    barrier();
  }
  // As for_each, for many items of about the same cost: f(i, next) hears too which item this thread
  // takes then, or n where that is not known yet.
  template <class F>
  void for_each_ahead(int64_t n, F&& f) noexcept {
    begin_items();
    // The last ones are not claimed ahead, so that the threads end together.
    const int64_t n_ahead = n - int64_t{4} * n_threads_;
    for (int64_t i = next_item(); i < n;) {
      const int64_t next = i < n_ahead ? next_item() : n;
      f(i, next);
      i = i < n_ahead ? next : next_item();
    }
    barrier();
  }
  // Calls f() on one thread; the others wait for it.
  template <class F>
  void once(F&& f) noexcept {
    if (thread_ == 0) f();
    barrier();
  }

 private:
  friend struct TeamState;
  void begin_items() noexcept;
  int64_t next_item() noexcept;
  TeamState& state_;
  int thread_, n_threads_;
  uint32_t phase_ = 0;
  int64_t spun_ns_ = 0;  // in barriers
};

// fixed: every region has all threads. adapting: fewer while other programs take their processors
// (team_size.h).
enum class TeamSizing : uint8_t { fixed, adapting };

// A number of threads to run regions with. Not shareable between threads that run regions at the
// same time: each session has its own.
class Parallel {
 public:
  // REQUIRES: n_threads >= 1
  explicit Parallel(int n_threads, TeamSizing sizing = TeamSizing::fixed);
  ~Parallel();
  int n_threads() const noexcept { return n_threads_; }  // at most

  // Runs body(team) on the threads and waits; on the calling thread alone where the system refuses
  // others. body must not throw.
  template <class F>
  void run(F&& body) noexcept {
    run_region([](void* f, Team& team) { (*static_cast<std::remove_reference_t<F>*>(f))(team); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  void run_region(void (*function)(void*, Team&), void* body) noexcept;
  int n_threads_;
  TeamSizing sizing_;
  TeamSize size_;
  std::unique_ptr<TeamState> state_;
};

// Whether the system lets this process have n_threads - 1 more threads now. OpenMP ends the process
// when it is refused one, so whoever opens a session asks first, and regions that need more do.
// REQUIRES: n_threads >= 1
bool can_start_threads(int n_threads) noexcept;

// Physical cores that this process may use: affinity, cgroup quota and SMT siblings considered.
int default_threads();
// Logical processors that this process may use: more threads than these wait for each other.
int most_threads();

}  // namespace larder::quant
