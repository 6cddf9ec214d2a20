#include "quant/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

namespace larder::quant {
namespace {

constexpr int kPasses = 8;
constexpr int64_t kRounds = 4'000'000;  // of eight dot products: about 10 ms at 3 GHz
constexpr size_t kPageBytes = 4096;     // slices of threads share no page

template <class F>
double best_seconds(F&& pass) noexcept {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int i = 0; i < kPasses; ++i) {
    const Clock::time_point start = Clock::now();
    pass();
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
  const size_t slice_bytes = memory.size() / n_threads / kPageBytes * kPageBytes;
  const auto slice = [&](const Team& team) {
    return memory.data() + slice_bytes * static_cast<size_t>(team.thread());
  };
  std::atomic<int> n_running{0};  // a region may get fewer threads than it asks for
  parallel.run([&](Team& team) {  // who reads a page has written it: it is near and it exists
    std::memset(slice(team), 1, slice_bytes);
    n_running = team.n_threads();
  });

  const double read_seconds = best_seconds([&] {
    parallel.run([&](Team& team) { sink += kernels.probe.read(slice(team), slice_bytes); });
  });
  const double dot_seconds =
      best_seconds([&] { parallel.run([&](Team&) { sink += kernels.probe.int8_dots(kRounds); }); });
  const double n = n_running;
  return {n * static_cast<double>(slice_bytes) / read_seconds,
          n * static_cast<double>(kRounds) * kernels.probe.ops_per_round / dot_seconds};
}

}  // namespace larder::quant
