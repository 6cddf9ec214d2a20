#include "apps/benchmark.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>

#include "apps/pass_watchers.h"
#include "apps/timings.h"
#include "runtime/model/token_work.h"
#include "runtime/session/sampler.h"

namespace larder::apps {
namespace {

using formats::TokenId;

// One session's measurements, one behind another.
class Bench {
 public:
  Bench(runtime::Session& session, const runtime::SamplerOptions& sampling,
        const BenchmarkOptions& options, Benchmark& result)
      : session_(session),
        options_(options),
        result_(result),
        sampler_(sampling, session.model().config().n_vocab),
        work_(runtime::token_work(session.model().config(), session.model().weights(),
                                  {*session.options().cache_k, *session.options().cache_v})) {}

  Status measure(Way way, int32_t depth);

 private:
  Measurement plan(Way way, int32_t depth) const;
  Status go_to(int32_t depth);
  Status run(Way way, std::span<const TokenId> tokens);
  Status append(std::span<const TokenId> tokens);
  Status sample();

  runtime::Session& session_;
  const BenchmarkOptions& options_;
  Benchmark& result_;
  runtime::Sampler sampler_;
  double sampling_seconds_ = 0;
  runtime::TokenWork work_;
  PartClock clock_;
  int32_t depth_ = 0;  // so many tokens of the session are those that stand before
};

// What it will cost.
Measurement Bench::plan(Way way, int32_t depth) const {
  Measurement m;
  m.way = way;
  m.depth = depth;
  const int32_t n_prompt = way == Way::decode ? 0 : options_.n_prompt;
  const int32_t n_decoded = way == Way::prefill ? 0 : options_.n_predict;
  m.n_tokens = n_prompt + n_decoded;
  m.is_int8 = !session_.options().exact && 2 * work_.body.int8_ops > work_.body.ops;
  m.ops = work_.prefill_ops(depth, n_prompt);
  for (int32_t i = 0; i < n_decoded; ++i) {
    const runtime::Work step = work_.decode(depth + n_prompt + i + 1);
    m.ops += step.ops;
    if (way == Way::decode) m.bytes += step.bytes;
  }
  return m;
}

// Makes the session hold the first tokens of those that stand before.
Status Bench::go_to(int32_t depth) {
  depth_ = std::min({depth, depth_, static_cast<int32_t>(session_.tokens().size())});
  depth_ = session_.truncate(depth_);
  if (depth_ == depth) return {};
  const std::vector<TokenId> before = SpreadTokens(session_.model().config().n_vocab).next(depth);
  const Status status = session_.append(std::span(before).subspan(static_cast<size_t>(depth_)));
  depth_ = depth;
  return status;
}

Status Bench::append(std::span<const TokenId> tokens) {
  clock_.start();
  return session_.append(tokens, {}, options_.times_parts ? &clock_ : nullptr);
}

Status Bench::run(Way way, std::span<const TokenId> tokens) {
  const auto n_prompt = static_cast<size_t>(way == Way::decode ? 0 : options_.n_prompt);
  if (n_prompt > 0) {
    if (Status s = append(tokens.first(n_prompt)); !s.ok()) return s;
  }
  for (size_t i = n_prompt; i < tokens.size(); ++i) {
    if (Status s = append(tokens.subspan(i, 1)); !s.ok()) return s;
    if (Status s = sample(); !s.ok()) return s;
  }
  return {};
}

Status Bench::sample() {
  const Stopwatch watch;
  const auto sampled = sampler_.sample(session_.logits(), session_.tokens());
  sampling_seconds_ += watch.seconds();
  return sampled.status();
}

// Runs once unmeasured, then `repetitions` times, each with tokens of its own: the experts of the
// same ones would be at hand.
Status Bench::measure(Way way, int32_t depth) {
  Measurement m = plan(way, depth);
  if (m.n_tokens == 0) return {};
  SpreadTokens spread(session_.model().config().n_vocab);
  std::optional<runtime::ExpertStatistics> unmeasured;
  for (int i = 0; i <= options_.repetitions; ++i) {
    if (Status s = go_to(depth); !s.ok()) return s;
    if (i == 1) {
      unmeasured = session_.expert_statistics();
      clock_.reset();
      sampling_seconds_ = 0;
    }
    const std::vector<TokenId> tokens = spread.next(m.n_tokens);
    const Stopwatch watch;
    if (Status s = run(way, tokens); !s.ok()) return s;
    if (i > 0) m.seconds.push_back(watch.seconds());
    result_.peak = larger(result_.peak, resident_memory());
  }
  m.experts = session_.expert_statistics();
  if (m.experts) m.experts->counters -= unmeasured->counters;
  m.sampling_seconds = sampling_seconds_;
  if (options_.times_parts) m.part_seconds = clock_.seconds();
  std::sort(m.seconds.begin(), m.seconds.end());
  result_.measurements.push_back(std::move(m));
  return {};
}

}  // namespace

std::vector<TokenId> SpreadTokens::next(int32_t n) {
  std::vector<TokenId> tokens(static_cast<size_t>(n));
  for (TokenId& token : tokens) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Source: Knuth, MMIX
    token = static_cast<TokenId>((state_ >> 33) % n_vocab_);
  }
  return tokens;
}

int32_t BenchmarkOptions::n_positions() const noexcept {
  const int32_t n = is_mixed ? n_prompt + n_predict : std::max(n_prompt, n_predict);
  return *std::max_element(depths.begin(), depths.end()) + std::max(n, 1);
}

const char* name_of(Way way) noexcept {
  constexpr const char* kNames[] = {"prefill", "decode", "mixed", "parallel"};
  return kNames[static_cast<size_t>(way)];
}

double Measurement::total_seconds() const noexcept {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

double Measurement::median_seconds() const noexcept {
  const size_t half = seconds.size() / 2;
  return seconds.size() % 2 == 1 ? seconds[half] : (seconds[half - 1] + seconds[half]) / 2;
}

Result<Benchmark> run_benchmark(runtime::Session& session, const BenchmarkOptions& options) {
  Benchmark result;
  result.n_faults_before = major_faults();
  result.peak = resident_memory();
  session.truncate(0);
  const auto sampling = runtime::sampler_options_from(session.model().file());
  if (!sampling) return sampling.status();
  Bench bench(session, *sampling, options, result);
  for (const int32_t depth : options.depths) {
    for (const Way way : {Way::prefill, Way::decode, Way::mixed}) {
      const bool is_asked = way == Way::prefill  ? options.n_prompt > 0
                            : way == Way::decode ? options.n_predict > 0
                                                 : options.is_mixed;
      if (!is_asked) continue;
      if (Status s = bench.measure(way, depth); !s.ok()) return s;
    }
  }
  result.n_faults = major_faults() - result.n_faults_before;
  return result;
}

}  // namespace larder::apps
