// Measures a model on this machine, and this machine beside it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "apps/resident_memory.h"
#include "formats/status.h"
#include "runtime/session/session.h"

namespace larder::apps {

struct BenchmarkOptions {
  int32_t n_prompt = 512;             // tokens of a prefill; 0: none
  int32_t n_predict = 128;            // tokens decoded one by one; 0: none
  std::vector<int32_t> depths = {0};  // tokens in the context before each begins
  int32_t n_parallel = 0;             // sequences decoded together; 0: none
  bool is_mixed = false;              // also a prefill and then decoding, timed as one
  bool times_parts = false;
  int32_t repetitions = 5;

  // What one sequence holds at most.
  int32_t n_positions() const noexcept;
};

enum class Way : uint8_t { prefill, decode, mixed, parallel };
const char* name_of(Way way) noexcept;

// One way of using the model behind one depth.
struct Measurement {
  Way way = Way::prefill;
  int32_t depth = 0;
  int32_t n_tokens = 0;         // of one repetition, all sequences together
  int32_t n_sequences = 1;      // that take each step together
  std::vector<double> seconds;  // ascending, one a repetition
  // Of one repetition, by runtime/model/token_work.h; those of parallel: the mean, by the experts
  // that were touched.
  uint64_t ops = 0;
  uint64_t bytes = 0;    // 0 where it depends on the routing
  bool is_int8 = false;  // most operations with weights
  // Of parallel: experts that a layer with experts touched in a step, mean.
  double n_distinct_experts = 0;
  std::optional<std::array<double, runtime::kNumPassParts>> part_seconds;  // of all repetitions
  double sampling_seconds = 0;                                             // of all repetitions
  // Of all repetitions; none where the file is mapped.
  std::optional<runtime::ExpertStatistics> experts;

  double median_seconds() const noexcept;
  double median() const noexcept { return n_tokens / median_seconds(); }  // tokens a second
  double slowest() const noexcept { return n_tokens / seconds.back(); }
  double fastest() const noexcept { return n_tokens / seconds.front(); }
  double total_seconds() const noexcept;
  uint64_t step_bytes() const noexcept {
    return bytes / static_cast<uint64_t>(n_tokens / n_sequences);
  }
  double ops_per_s() const noexcept { return static_cast<double>(ops) / median_seconds(); }
  double bytes_per_s() const noexcept { return static_cast<double>(bytes) / median_seconds(); }
};

struct Benchmark {
  std::vector<Measurement> measurements;
  // Of what was seen when loading was done and behind each repetition.
  ResidentMemory peak;
  uint64_t n_faults_before = 0, n_faults = 0;  // major_faults(): before, and of measuring
};

// Everything but parallel sequences. Tokens that are decoded are sampled, too, by the file's
// defaults; what is decoded next does not depend on it.
// REQUIRES: session.n_ctx() >= options.n_positions(), repetitions >= 1
Result<Benchmark> run_benchmark(runtime::Session& session, const BenchmarkOptions& options);

// Sequences decoded together, a token of each a step, added to `result`. They take memory of their
// own, all that session.ram_bytes allows: no session over the model is open meanwhile. Tokens are
// sampled on the threads of the pass, as an engine does.
// REQUIRES: as above; options that are resolved
Status run_parallel(std::shared_ptr<const runtime::Model> model,
                    const runtime::SessionOptions& session, const BenchmarkOptions& options,
                    Benchmark& result);

// Tokens from all over the vocabulary, the same ones in every run of the program. Their text means
// nothing, so that no repetition is easier than another.
class SpreadTokens {
 public:
  explicit SpreadTokens(int32_t n_vocab) noexcept : n_vocab_(static_cast<uint64_t>(n_vocab)) {}
  std::vector<formats::TokenId> next(int32_t n);

 private:
  uint64_t n_vocab_;
  uint64_t state_ = 1;
};

}  // namespace larder::apps
