// What bench found, for people and programs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "apps/bench_limits.h"
#include "apps/benchmark.h"
#include "apps/processor.h"

namespace larder::apps {

struct BenchReport {
  const runtime::Session& session;
  const BenchmarkOptions& options;
  const Benchmark& result;
  LimitsAround limits;
  Processor processor;
  std::string time;  // when it began, UTC, ISO 8601
  double load_seconds = 0;

  std::string to_table() const;
  std::string to_json_line() const;
};

// Seconds by part; their sum is what was measured: the rest is whatever no part claims.
// REQUIRES: m.part_seconds
std::vector<std::pair<const char*, double>> parts_of(const Measurement& m);

}  // namespace larder::apps
