#include "apps/bench_limits.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "quant/dispatch.h"

namespace larder::apps {
namespace {

constexpr uint64_t kCaches = 4;  // so many times the caches: little of it is there a pass later
constexpr uint64_t kLeastProbeBytes = uint64_t{512} << 20;
constexpr uint64_t kMostProbeBytes = uint64_t{8} << 30;      // four times two sockets of 1 GiB
constexpr uint64_t kUnknownCacheBytes = uint64_t{96} << 20;  // the largest of desktop processors

struct Free {
  void operator()(void* memory) const noexcept { std::free(memory); }
};

double mean_of_known(double a, double b) noexcept {
  return a > 0 && b > 0 ? (a + b) / 2 : std::max(a, b);
}

}  // namespace

quant::MachineLimits LimitsAround::mean() const noexcept {
  if (!after) return before;
  return {mean_of_known(before.read_bytes_per_s, after->read_bytes_per_s),
          mean_of_known(before.int8_ops_per_s, after->int8_ops_per_s)};
}

uint64_t probe_bytes(uint64_t cache_bytes, uint64_t most_bytes) noexcept {
  const uint64_t least =
      std::min(kMostProbeBytes, kCaches * (cache_bytes == 0 ? kUnknownCacheBytes : cache_bytes));
  if (most_bytes < least) return 0;
  return std::min(std::max(kLeastProbeBytes, least), most_bytes / 64 * 64);
}

Result<quant::MachineLimits> measure_limits(const runtime::SessionOptions& options,
                                            uint64_t cache_bytes, uint64_t most_bytes) {
  const uint64_t bytes = probe_bytes(cache_bytes, most_bytes);
  const std::unique_ptr<void, Free> memory(bytes > 0 ? std::aligned_alloc(64, bytes) : nullptr);
  if (bytes > 0 && memory == nullptr) {
    return Status(Cause::out_of_memory,
                  "no " + std::to_string(bytes >> 20) + " MiB to measure the memory's speed with");
  }
  quant::Parallel parallel(options.n_threads);
  const quant::KernelSet* const kernels =
      options.isa.empty() ? &quant::best_kernels() : quant::find_kernels(options.isa);
  return quant::measure_machine_limits(parallel, *kernels,
                                       std::span(static_cast<std::byte*>(memory.get()), bytes));
}

std::optional<double> Shares::most() const noexcept {
  if (!of_reading || !of_int8) return of_reading ? of_reading : of_int8;
  return std::max(*of_reading, *of_int8);
}

Shares shares(const Measurement& m, const quant::MachineLimits& limits) noexcept {
  Shares found;
  if (m.bytes > 0 && limits.read_bytes_per_s > 0)
    found.of_reading = m.bytes_per_s() / limits.read_bytes_per_s;
  if (m.is_int8 && limits.int8_ops_per_s > 0) found.of_int8 = m.ops_per_s() / limits.int8_ops_per_s;
  return found;
}

}  // namespace larder::apps
