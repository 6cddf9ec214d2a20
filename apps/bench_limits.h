// What this machine can do at most, and how much of it a measurement reached.
#pragma once

#include <cstdint>
#include <optional>

#include "apps/benchmark.h"
#include "quant/machine_limits.h"

namespace larder::apps {

// The machine's limits beside the measurements.
struct LimitsAround {
  quant::MachineLimits before;
  std::optional<quant::MachineLimits> after;  // none where no memory is left for it

  quant::MachineLimits mean() const noexcept;  // what shares are of
};

// Memory that reading is measured in: several times the caches, or it would be their speed. 0 where
// `most_bytes` are less. cache_bytes: of the last level; 0: not known.
uint64_t probe_bytes(uint64_t cache_bytes, uint64_t most_bytes) noexcept;

// Takes probe_bytes() for a moment; without any of it reading is not measured.
Result<quant::MachineLimits> measure_limits(const runtime::SessionOptions& options,
                                            uint64_t cache_bytes, uint64_t most_bytes);

// Of each limit that bounds a way of use and is known.
struct Shares {
  std::optional<double> of_reading, of_int8;

  // Of the one that is nearer.
  std::optional<double> most() const noexcept;
};
Shares shares(const Measurement& m, const quant::MachineLimits& limits) noexcept;

}  // namespace larder::apps
