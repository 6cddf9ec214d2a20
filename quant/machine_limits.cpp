#include "quant/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

namespace larder::quant {
namespace {

// A pass takes a few milliseconds, less than the time slice of a scheduler, so that on a busy
// machine the best of many passes is one that was not interrupted.
constexpr size_t kPasses = 64;
constexpr int64_t kRounds = 500'000;  // of eight dot products: about 1 ms at 3 GHz
constexpr size_t kPieces = 8;         // of the memory; each pass reads another one
constexpr size_t kPageBytes = 4096;   // slices of threads share no page

template <class F>
double best_seconds(F&& pass) noexcept {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (size_t i = 0; i < kPasses; ++i) {
    const Clock::time_point start = Clock::now();
    pass(i);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

}  // namespace

MachineLimits measure_machine_limits(Parallel& parallel, const KernelSet& kernels,
                                     std::span<std::byte> memory) noexcept {
  std::atomic<int32_t> sink{0};  // or the compiler may drop the loops
  const auto n_threads = static_cast<size_t>(parallel.n_threads());
  const size_t slice_bytes = memory.size() / kPieces / n_threads / kPageBytes * kPageBytes;
  const auto slice = [&](size_t piece, const Team& team) {
    return memory.data() + slice_bytes * (piece * n_threads + static_cast<size_t>(team.thread()));
  };
  std::atomic<int> n_running{0};  // a region may get fewer threads than it asks for
  parallel.run([&](Team& team) {  // who reads a page has written it: it is near and it exists
    for (size_t i = 0; i < kPieces && slice_bytes > 0; ++i)
      std::memset(slice(i, team), 1, slice_bytes);
    n_running = team.n_threads();
  });

  const auto read = [&](size_t i) {
    parallel.run(
        [&](Team& team) { sink += kernels.probe.read(slice(i % kPieces, team), slice_bytes); });
  };
  const double read_seconds = slice_bytes > 0 ? best_seconds(read) : 0;
  const double dot_seconds = best_seconds(
      [&](size_t) { parallel.run([&](Team&) { sink += kernels.probe.int8_dots(kRounds); }); });
  const double n = n_running;
  return {read_seconds > 0 ? n * static_cast<double>(slice_bytes) / read_seconds : 0,
          n * static_cast<double>(kRounds) * kernels.probe.ops_per_round / dot_seconds};
}

}  // namespace larder::quant
