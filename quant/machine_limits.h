// What this machine can do at most, measured: how fast memory can be read, which bounds decoding,
// and how many 8-bit products can be added, which bounds prefill.
#pragma once

#include <cstddef>
#include <span>

#include "quant/kernel_set.h"
#include "quant/parallel.h"

namespace larder::quant {

struct MachineLimits {
  double read_bytes_per_s = 0;
  double int8_ops_per_s = 0;  // a multiplication and an addition are two
};

// The best of many short passes on all threads of `parallel`, about a second in all. Overwrites
// `memory`; where that is empty reading is not measured, and 0. REQUIRES: memory 64-byte aligned
// and several times the last-level cache, or empty.
MachineLimits measure_machine_limits(Parallel& parallel, const KernelSet& kernels,
                                     std::span<std::byte> memory) noexcept;

}  // namespace larder::quant
