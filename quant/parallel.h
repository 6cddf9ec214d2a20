// Threads. The only OpenMP in the house: everything above speaks of teams.
//
// A region runs the same function on every thread of a team (SPMD). Inside, work is split into
// items whose results do not depend on which thread computes them.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "quant/team_size.h"
#include "quant/work_range.h"

namespace larder::quant {

struct TeamState;  // barrier and stretches, shared by the threads of one region

// One thread's view of the team that runs a region.
class Team {
 public:
  Team(TeamState& state, int thread, int n_threads) noexcept
      : state_(state), thread_(thread), n_threads_(n_threads) {}
  int thread() const noexcept { return thread_; }
  int n_threads() const noexcept { return n_threads_; }

  // Waits for all threads of the team: spins briefly, then sleeps.
  void barrier() noexcept;

  // Calls f(i) for i in [0, n), each once; ends with a barrier. Every thread of the team must call
  // it with the same n. Each takes an equal stretch, in order, and then from those who are behind.
  // REQUIRES: n <= WorkRange::kMaxItems
  template <class F>
  void for_each(int64_t n, F&& f) noexcept {
    const auto first_of = [this, n](int thread) { return n * thread / n_threads_; };
    for_each_stretch(n, 1, first_of, [&](ItemRange items, int64_t) { f(items.first); });
  }

  // As for_each, for items of unequal cost: a thread's stretch begins with first_of(thread), the
  // same on every thread, n for n_threads(). f(items, next) takes up to n_at_once items, one behind
  // the other, and hears too which this thread takes then, unless another takes it away, or n where
  // that is not known. REQUIRES: first_of(0) == 0, n as of for_each
  template <class FirstOf, class F>
  void for_each_stretch(int64_t n, int64_t n_at_once, FirstOf&& first_of, F&& f) noexcept {
    ++phase_;
    const auto whole_of = [&](int thread) {
      return [&first_of, thread] { return ItemRange{first_of(thread), first_of(thread + 1)}; };
    };
    WorkRange& mine = range_of(thread_);
    do {
      int64_t end = 0;
      for (ItemRange items;
           (items = mine.take_first(phase_, whole_of(thread_), n_at_once, end)).n() > 0;) {
        f(items, items.end < end ? items.end : n);
      }
    } while (take_from_others(mine, whole_of));
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
  WorkRange& range_of(int thread) noexcept;
  // Half of the longest stretch that another has left; false if there is none.
  template <class WholeOf>
  bool take_from_others(WorkRange& mine, WholeOf&& whole_of) noexcept {
    for (;;) {
      int64_t most = 0;
      int victim = thread_;
      for (int i = 0; i < n_threads_; ++i) {
        const int64_t n_left = i == thread_ ? 0 : range_of(i).n_left(phase_, whole_of(i));
        if (n_left > most) {
          most = n_left;
          victim = i;
        }
      }
      if (most == 0) return false;
      const ItemRange taken = range_of(victim).take_half(phase_, whole_of(victim));
      if (taken.n() == 0) continue;
      mine.set(phase_, taken);
      return true;
    }
  }
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
