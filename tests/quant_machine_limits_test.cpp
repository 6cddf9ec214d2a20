#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <span>

#include "quant/dispatch.h"
#include "quant/machine_limits.h"
#include "quant/parallel.h"

using namespace larder::quant;

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

MachineLimits limits_of(const KernelSet& kernels, int n_threads) {
  constexpr size_t kBytes = size_t{64} << 20;
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(64, kBytes));
  REQUIRE(memory != nullptr);
  Parallel parallel(n_threads);
  return measure_machine_limits(parallel, kernels,
                                std::span(static_cast<std::byte*>(memory.get()), kBytes));
}

}  // namespace

TEST_CASE("machine limits: figures are those of a machine") {
  for (const KernelSet* kernels : kernel_sets()) {
    if (!is_supported(*kernels)) continue;
    const MachineLimits limits = limits_of(*kernels, 1);
    // No processor reads slower than a disk, nor multiplies bytes more slowly than it reads them;
    // none has a terabyte a second or 2^15 operations a cycle for one thread.
    CHECK_MESSAGE(limits.read_bytes_per_s > 2e8, kernels->name);
    CHECK_MESSAGE(limits.read_bytes_per_s < 1e12, kernels->name);
    CHECK_MESSAGE(limits.int8_ops_per_s > 1e9, kernels->name);
    CHECK_MESSAGE(limits.int8_ops_per_s < 1e14, kernels->name);
  }
}

TEST_CASE("machine limits: without memory reading is not measured") {
  Parallel parallel(2);
  const MachineLimits limits = measure_machine_limits(parallel, best_kernels(), {});
  CHECK(limits.read_bytes_per_s == 0);
  CHECK(limits.int8_ops_per_s > 1e9);
}

TEST_CASE("machine limits: wider instructions multiply more") {
  const KernelSet* scalar = find_kernels("scalar");
  REQUIRE(scalar != nullptr);
  const KernelSet& best = best_kernels();
  if (&best == scalar) {
    MESSAGE("this machine has only scalar kernels");
    return;
  }
  CHECK(limits_of(best, 1).int8_ops_per_s > limits_of(*scalar, 1).int8_ops_per_s);
}
