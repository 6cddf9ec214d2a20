// Measures a model on this machine, and this machine beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "formats/status.h"
#include "quant/machine_limits.h"
#include "runtime/session/session.h"

namespace larder::apps {

struct BenchmarkOptions {
  int32_t n_prompt = 512;   // tokens of a prefill; 0: none
  int32_t n_predict = 128;  // tokens decoded one by one; 0: none
  int32_t depth = 0;        // tokens in the context before either begins
  int32_t repetitions = 5;

  int32_t n_positions() const noexcept { return depth + std::max(n_prompt, n_predict); }
};

// One way of using the model, `n_tokens` at a time. Exact for the tokens computed, by
// runtime/model/token_work.h.
struct Measurement {
  int32_t n_tokens = 0;
  std::vector<double> seconds;  // ascending, one a repetition
  uint64_t ops = 0;             // of one repetition
  uint64_t bytes = 0;           // likewise; 0 where it depends on the routing
  // Of all repetitions; none where the file is mapped.
  std::optional<runtime::ExpertStatistics> experts;

  bool is_measured() const noexcept { return !seconds.empty(); }
  double median_seconds() const noexcept;                                 // REQUIRES: is_measured()
  double median() const noexcept { return n_tokens / median_seconds(); }  // tokens a second
  double slowest() const noexcept { return n_tokens / seconds.back(); }
  double total_seconds() const noexcept;
  double fastest() const noexcept { return n_tokens / seconds.front(); }
  double ops_per_s() const noexcept { return static_cast<double>(ops) / median_seconds(); }
  double bytes_per_s() const noexcept { return static_cast<double>(bytes) / median_seconds(); }
};

struct Benchmark {
  Measurement prefill, decode;
  uint64_t peak_memory_bytes = 0;  // the mapped file included
};

// Takes memory: `most_bytes`, and never more than measuring needs.
Result<quant::MachineLimits> measure_limits(const runtime::SessionOptions& options,
                                            size_t most_bytes);

// REQUIRES: session.n_ctx() >= options.n_positions(), repetitions >= 1
Result<Benchmark> run_benchmark(runtime::Session& session, const BenchmarkOptions& options);

}  // namespace larder::apps
