// What bench found, for people and programs.
#pragma once

#include <optional>
#include <string>

#include "apps/benchmark.h"

namespace larder::apps {

// The machine's limits beside the measurements.
struct LimitsAround {
  quant::MachineLimits before;
  std::optional<quant::MachineLimits> after;  // none where no memory is left for it

  quant::MachineLimits mean() const noexcept;  // what shares are of
};

struct BenchReport {
  const runtime::Session& session;
  const BenchmarkOptions& options;
  const Benchmark& result;
  LimitsAround limits;
  double load_seconds = 0;

  std::string to_table() const;
  std::string to_json_line() const;
};

}  // namespace larder::apps
