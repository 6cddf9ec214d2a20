#include "quant/parallel.h"

#include <omp.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <new>

#include "quant/isa/spin_pause.h"
#include "quant/usable_cores.h"

namespace larder::quant {
namespace {

// About 20 us of pause instructions (40 cycles each on Zen 4, 140 on Skylake): longer than the
// imbalance of well-split work, shorter than what a sleeping core would be missed for.
constexpr int kSpins = 2000;

int64_t now_ns(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

}  // namespace

// Each atomic has a cache line of its own. `entered` and `left` repeat libgomp's fork and join in
// atomics that ThreadSanitizer sees.
struct TeamState {
  void (*function)(void*, Team&) = nullptr;
  void* body = nullptr;
  std::unique_ptr<WorkRange[]> ranges;  // by thread
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<uint32_t> generation{0};  // of the barrier; 4 bytes: wait is a bare futex
  alignas(64) std::atomic<uint32_t> entered{0};
  alignas(64) std::atomic<uint32_t> left{0};
  int n_active = 0;  // threads that take part in the region
  // Of an adapting team: what they did in it.
  bool is_measured = false, measures_delays = false;
  alignas(64) std::atomic<int64_t> useful_ns{0};
  std::atomic<int64_t> delayed_ns{0};

  void run_measured(Team& team) noexcept;
};

void Team::barrier() noexcept {
  if (n_threads_ == 1) return;
  const uint32_t generation = state_.generation.load(std::memory_order_relaxed);
  if (state_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads_) {
    state_.arrived.store(0, std::memory_order_relaxed);
    state_.generation.store(generation + 1, std::memory_order_release);
    state_.generation.notify_all();
    return;
  }
  const int64_t start_ns = state_.is_measured ? now_ns(CLOCK_MONOTONIC) : 0;
  bool is_open = false;
  for (int i = 0; i < kSpins && !is_open; ++i) {
    is_open = state_.generation.load(std::memory_order_acquire) != generation;
    if (!is_open) spin_pause();
  }
  if (state_.is_measured) spun_ns_ += now_ns(CLOCK_MONOTONIC) - start_ns;
  if (!is_open) state_.generation.wait(generation, std::memory_order_acquire);
}

WorkRange& Team::range_of(int thread) noexcept {
  return state_.ranges[static_cast<size_t>(thread)];
}

// The clock of a thread stands still while the thread sleeps or waits for a processor.
void TeamState::run_measured(Team& team) noexcept {
  const int64_t delay_ns = measures_delays ? waited_for_processor_ns() : 0;
  const int64_t start_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
  function(body, team);
  useful_ns.fetch_add(now_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns - team.spun_ns_,
                      std::memory_order_relaxed);
  if (measures_delays)
    delayed_ns.fetch_add(waited_for_processor_ns() - delay_ns, std::memory_order_relaxed);
}

namespace {

// One thread's part of a region. Not inlined, because its caller is hidden from the sanitizer.
[[gnu::noinline]] void take_part(TeamState& state, int thread, int n_threads) noexcept {
  state.entered.load(std::memory_order_acquire);
  n_threads = std::min(n_threads, state.n_active);
  if (thread < n_threads) {
    Team team(state, thread, n_threads);
    if (state.is_measured)
      state.run_measured(team);
    else
      state.function(state.body, team);
  }
  state.left.fetch_add(1, std::memory_order_release);
}

// The compiler hands `state` to the threads through a struct that libgomp publishes; libgomp is not
// instrumented, so ThreadSanitizer would report that struct. A region of fewer threads than before
// would end the others, and the system may refuse to start them again: they come, and do nothing.
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

// With how many threads the next region may begin: `n_wanted`, or where libgomp would have to start
// some and the system refuses them, the calling thread alone. libgomp itself would end the process.
//
// A host that begins regions of its own on the calling thread changes what libgomp keeps for it.
// Results stay right: a region works with the threads that it is given. Of more than is believed
// here, some are asked for in vain. Of fewer, libgomp starts some that nobody has asked for, and a
// system that refuses them just then ends the process, as it would have in the host's next region.
// Asking each time costs as much as a small region; libgomp does not tell how many it keeps.
int threads_to_be_had(int n_wanted) noexcept {
  // libgomp keeps, for each thread that begins regions, those of its last one. In static storage:
  // space that is allocated at first use may be refused, too.
  [[gnu::tls_model("initial-exec")]] static thread_local int n_kept = 1;
  if (n_wanted == 1) return 1;  // ends none
  if (n_wanted > n_kept && !can_start_threads(n_wanted)) return 1;
  n_kept = n_wanted;
  return n_wanted;
}

}  // namespace

Parallel::Parallel(int n_threads, TeamSizing sizing)
    : n_threads_(n_threads),
      sizing_(sizing),
      size_(n_threads),
      state_(std::make_unique<TeamState>()) {
  assert(n_threads >= 1);
  state_->ranges = std::make_unique<WorkRange[]>(static_cast<size_t>(n_threads));
}

Parallel::~Parallel() = default;

void Parallel::run_region(void (*function)(void*, Team&), void* body) noexcept {
  TeamState& state = *state_;
  state.function = function;
  state.body = body;
  state.is_measured = sizing_ == TeamSizing::adapting && n_threads_ > 1;
  state.useful_ns.store(0, std::memory_order_relaxed);
  state.delayed_ns.store(0, std::memory_order_relaxed);
  state.measures_delays = size_.asks_for_delays();
  const int n_active = size_.next();
  const int n_forked = threads_to_be_had(n_active == 1 ? 1 : n_threads_);
  state.n_active = std::min(n_active, n_forked);
  for (int i = 0; i < n_threads_; ++i) state.ranges[static_cast<size_t>(i)].forget();
  state.entered.fetch_add(1, std::memory_order_release);
  const int64_t start_ns = state.is_measured ? now_ns(CLOCK_MONOTONIC) : 0;
  fork_and_join(state, n_forked);
  state.left.load(std::memory_order_acquire);
  if (!state.is_measured || state.n_active < n_active) return;
  size_.learn({state.n_active, now_ns(CLOCK_MONOTONIC) - start_ns,
               state.useful_ns.load(std::memory_order_relaxed),
               state.delayed_ns.load(std::memory_order_relaxed)});
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
