#include "apps/benchmark.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <span>

#include "apps/timings.h"
#include "quant/dispatch.h"
#include "runtime/model/token_work.h"

namespace larder::apps {
namespace {

using formats::TokenId;

// Several times the largest last-level caches of desktop processors (96 MiB).
constexpr size_t kProbeBytes = size_t{512} << 20;

// Tokens from all over the vocabulary, the same ones in every run of the program. Their text means
// nothing, so that no repetition is easier than another.
std::vector<TokenId> spread_tokens(int32_t n, int32_t n_vocab) {
  std::vector<TokenId> tokens(static_cast<size_t>(n));
  uint64_t state = 1;
  for (TokenId& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Source: Knuth, MMIX
    token = static_cast<TokenId>((state >> 33) % static_cast<uint64_t>(n_vocab));
  }
  return tokens;
}

// Makes the session hold these tokens, of which it may hold the beginning of more.
Status go_back_to(runtime::Session& session, std::span<const TokenId> tokens) {
  const auto n_held = std::min(session.tokens().size(), tokens.size());
  const auto n_left = static_cast<size_t>(session.truncate(static_cast<int32_t>(n_held)));
  return n_left == tokens.size() ? Status() : session.append(tokens.subspan(n_left));
}

// Runs once unmeasured, then `repetitions` times, each behind `before`, and each with tokens of its
// own: the experts of the same ones would be at hand.
template <class F>
Status measure(runtime::Session& session, const BenchmarkOptions& options,
               std::span<const TokenId> before, Measurement& result, F&& run) {
  if (result.n_tokens == 0) return {};
  const auto n = static_cast<size_t>(result.n_tokens);
  const std::vector<TokenId> tokens =
      spread_tokens((options.repetitions + 1) * result.n_tokens, session.model().config().n_vocab);
  std::optional<runtime::ExpertStatistics> unmeasured;
  for (int i = 0; i <= options.repetitions; ++i) {
    if (Status s = go_back_to(session, before); !s.ok()) return s;
    if (i == 1) unmeasured = session.expert_statistics();
    const Stopwatch watch;
    if (Status s = run(std::span(tokens).subspan(static_cast<size_t>(i) * n, n)); !s.ok()) return s;
    if (i > 0) result.seconds.push_back(watch.seconds());
  }
  result.experts = session.expert_statistics();
  if (result.experts) result.experts->counters -= unmeasured->counters;
  std::sort(result.seconds.begin(), result.seconds.end());
  return {};
}

// VmHWM; 0 if the system does not say.
uint64_t peak_memory_bytes() {
  std::FILE* const status = std::fopen("/proc/self/status", "re");
  if (status == nullptr) return 0;
  char line[256];
  unsigned long long kib = 0;
  while (std::fgets(line, sizeof line, status) != nullptr) {
    if (std::sscanf(line, "VmHWM: %llu kB", &kib) == 1) break;
  }
  std::fclose(status);
  return uint64_t{kib} << 10;
}

struct Free {
  void operator()(void* memory) const noexcept { std::free(memory); }
};

}  // namespace

Result<quant::MachineLimits> measure_limits(const runtime::SessionOptions& options,
                                            size_t most_bytes) {
  const size_t bytes = std::min(kProbeBytes, most_bytes / 64 * 64);
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(64, bytes));
  if (memory == nullptr) {
    return Status(Cause::out_of_memory, "no 512 MiB to measure the memory's speed with");
  }
  quant::Parallel parallel(options.n_threads);
  const quant::KernelSet* const kernels =
      options.isa.empty() ? &quant::best_kernels() : quant::find_kernels(options.isa);
  return quant::measure_machine_limits(parallel, *kernels,
                                       std::span(static_cast<std::byte*>(memory.get()), bytes));
}

double Measurement::total_seconds() const noexcept {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

double Measurement::median_seconds() const noexcept {
  const size_t half = seconds.size() / 2;
  return seconds.size() % 2 == 1 ? seconds[half] : (seconds[half - 1] + seconds[half]) / 2;
}

Result<Benchmark> run_benchmark(runtime::Session& session, const BenchmarkOptions& options) {
  const runtime::Model& model = session.model();
  const runtime::TokenWork work = runtime::token_work(
      model.config(), model.weights(), session.options().exact ? sizeof(float) : sizeof(uint16_t));
  const std::vector<TokenId> before = spread_tokens(options.depth, model.config().n_vocab);

  Benchmark result;
  session.truncate(0);
  if (Status s = go_back_to(session, before); !s.ok()) return s;

  result.prefill.n_tokens = options.n_prompt;
  result.prefill.ops = work.prefill_ops(options.depth, options.n_prompt);
  Status status = measure(session, options, before, result.prefill,
                          [&](std::span<const TokenId> next) { return session.append(next); });
  if (!status.ok()) return status;

  result.decode.n_tokens = options.n_predict;
  for (int32_t i = 0; i < options.n_predict; ++i) {
    const runtime::Work step = work.decode(options.depth + i + 1);
    result.decode.ops += step.ops;
    result.decode.bytes += step.bytes;
  }
  status = measure(session, options, before, result.decode, [&](std::span<const TokenId> next) {
    for (const TokenId& token : next) {
      if (Status s = session.append({&token, 1}); !s.ok()) return s;
    }
    return Status();
  });
  if (!status.ok()) return status;

  result.peak_memory_bytes = peak_memory_bytes();
  return result;
}

}  // namespace larder::apps
