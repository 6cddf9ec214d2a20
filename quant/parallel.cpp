#include "quant/parallel.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>
#include <cassert>
#include <new>

#include "quant/usable_cores.h"

namespace larder::quant {
namespace {

// About 20 us of pause instructions (40 cycles each on Zen 4, 140 on Skylake): longer than the
// imbalance of well-split work, shorter than what a sleeping core would be missed for.
constexpr int kSpins = 2000;

void pause() noexcept { __builtin_ia32_pause(); }

}  // namespace

// Each atomic has a cache line of its own. `entered` and `left` repeat libgomp's fork and join in
// atomics that ThreadSanitizer sees.
struct TeamState {
  void (*function)(void*, Team&) = nullptr;
  void* body = nullptr;
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<int> generation{0};  // of the barrier; an int, so wait is a bare futex
  // Next item of for_each; phases alternate. Invariant: outside a phase the next one's is 0.
  struct alignas(64) Counter {
    std::atomic<int64_t> next{0};
  } counters[2];
  alignas(64) std::atomic<uint32_t> entered{0};
  alignas(64) std::atomic<uint32_t> left{0};
};

void Team::barrier() noexcept {
  if (n_threads_ == 1) return;
  const int generation = state_.generation.load(std::memory_order_relaxed);
  if (state_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads_) {
    state_.arrived.store(0, std::memory_order_relaxed);
    state_.generation.store(generation + 1, std::memory_order_release);
    state_.generation.notify_all();
    return;
  }
  for (int i = 0; i < kSpins; ++i) {
    if (state_.generation.load(std::memory_order_acquire) != generation) return;
    pause();
  }
  state_.generation.wait(generation, std::memory_order_acquire);
}

// The barrier that ended the phase before guarantees that nobody uses the other counter any more,
// and the one that ends this phase shows its reset to all.
void Team::begin_items() noexcept {
  ++phase_;
  if (thread_ == 0) state_.counters[(phase_ + 1) & 1].next.store(0, std::memory_order_relaxed);
}

int64_t Team::next_item() noexcept {
  return state_.counters[phase_ & 1].next.fetch_add(1, std::memory_order_relaxed);
}

namespace {

// One thread's part of a region. Not inlined, because its caller is hidden from the sanitizer.
[[gnu::noinline]] void take_part(TeamState& state, int thread, int n_threads) noexcept {
  state.entered.load(std::memory_order_acquire);
  Team team(state, thread, n_threads);
  state.function(state.body, team);
  state.left.fetch_add(1, std::memory_order_release);
}

// The compiler hands `state` to the threads through a struct that libgomp publishes; libgomp is not
// instrumented, so ThreadSanitizer would report that struct.
[[gnu::noinline, gnu::no_sanitize_thread]] void fork_and_join(TeamState& state,
                                                              int n_threads) noexcept {
#pragma omp parallel num_threads(n_threads)
  {
    // Libraries called from a team of one must not open a team of their own. This sets the number
    // for this thread of this region only.
    omp_set_num_threads(1);
    // OpenMP may deliver fewer threads than asked (nested or limited).
    take_part(state, omp_get_thread_num(), omp_get_num_threads());
  }
}

}  // namespace

Parallel::Parallel(int n_threads) : n_threads_(n_threads), state_(std::make_unique<TeamState>()) {
  assert(n_threads >= 1);
}

Parallel::~Parallel() = default;

void Parallel::run_region(void (*function)(void*, Team&), void* body) noexcept {
  TeamState& state = *state_;
  state.function = function;
  state.body = body;
  state.counters[1].next.store(0, std::memory_order_relaxed);  // of phase 1, the first
  state.entered.fetch_add(1, std::memory_order_release);
  fork_and_join(state, n_threads_);
  state.left.load(std::memory_order_acquire);
}

bool can_start_threads(int n_threads) noexcept {
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  const auto pass_gate = [](void* its_gate) -> void* {
    pthread_mutex_lock(static_cast<pthread_mutex_t*>(its_gate));
    pthread_mutex_unlock(static_cast<pthread_mutex_t*>(its_gate));
    return nullptr;
  };
  const std::unique_ptr<pthread_t[]> threads(new (std::nothrow)
                                                 pthread_t[static_cast<size_t>(n_threads)]);
  if (threads == nullptr) return false;
  int n_started = 0;
  // All of them wait at the gate: what counts is how many live at the same time.
  pthread_mutex_lock(&gate);
  while (n_started < n_threads - 1 &&
         pthread_create(&threads[n_started], nullptr, pass_gate, &gate) == 0) {
    ++n_started;
  }
  pthread_mutex_unlock(&gate);
  for (int i = 0; i < n_started; ++i) pthread_join(threads[i], nullptr);
  return n_started == n_threads - 1;
}

int default_threads() { return usable_cores(allowed_processors(), ""); }

int most_threads() { return static_cast<int>(allowed_processors().size()); }

}  // namespace larder::quant
