// larder bench: tokens a second, beside what this machine could do at most.
#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "apps/bench_limits.h"
#include "apps/bench_report.h"
#include "apps/benchmark.h"
#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/subcommands.h"
#include "apps/timings.h"
#include "runtime/experts/available_memory.h"

namespace larder::apps {
namespace {

constexpr int32_t kMostTokens = 1 << 24;  // of one measurement; keeps every product in 64 bits
constexpr int32_t kMostSequences = 4096;

struct BenchOptions {
  std::string model;
  std::optional<std::string> file;  // of the result, as JSON
  OutputOptions output;
  runtime::SessionOptions session;
  BenchmarkOptions benchmark;
};

Status bad_option(const char* name, std::string message) {
  return Status(Cause::invalid_argument, std::move(message), std::string("option ") + name);
}

Status check(const BenchmarkOptions& options) {
  if (options.n_parallel > 0 && options.n_predict == 0)
    return bad_option("parallel", "decodes nothing with --n-gen 0");
  if (int64_t{options.n_parallel} * options.n_predict > kMostTokens)
    return bad_option("parallel",
                      "times --n-gen is more than " + std::to_string(kMostTokens) + " tokens");
  if (options.n_prompt == 0 && options.n_predict == 0)
    return bad_option("n-gen", "is 0, as --n-prompt is: there is nothing to measure");
  return {};
}

Status check_context(int32_t n_ctx, const BenchmarkOptions& options) {
  const int32_t n_positions = options.n_positions();
  if (n_ctx == 0 || n_ctx >= n_positions) return {};
  const int32_t depth = *std::max_element(options.depths.begin(), options.depths.end());
  return bad_option("ctx-size",
                    std::to_string(n_ctx) + " is less than the " + std::to_string(n_positions) +
                        " tokens of a sequence: " + std::to_string(depth) + " of --n-depth and " +
                        std::to_string(n_positions - depth) + " behind them; give --ctx-size " +
                        std::to_string(n_positions) + ", or none");
}

Status refuse_encoder(const runtime::Model& model) {
  if (!model.config().has_encoder()) return {};
  return Status(Cause::unsupported,
                "has an encoder; prefill and decode, which bench measures, are those of a decoder "
                "alone, so nothing was measured (`larder generate` tells its own speed)")
      .with_file(model.file().path());
}

// The place of -o is there before anything is measured.
Status write(std::optional<Output>& file, const BenchOptions& options, const BenchReport& report) {
  if (file) {
    file->write(report.to_json_line());
    if (Status s = file->finish(); !s.ok()) return s;
  }
  Output output = Output::standard();
  output.write(options.output.is_json ? report.to_json_line() : report.to_table());
  return output.finish();
}

Result<std::optional<Output>> open_result(const BenchOptions& options,
                                          const runtime::Model& model) {
  if (!options.file) return std::optional<Output>();
  const std::string in_use[] = {model.file().path()};
  Result<Output> file = Output::open(*options.file, in_use);
  if (!file) return file.status();
  return std::optional<Output>(std::move(*file));
}

// `more` stands behind what `result` has.
void add(Benchmark more, Benchmark& result) {
  for (Measurement& m : more.measurements) result.measurements.push_back(std::move(m));
  result.peak = larger(result.peak, more.peak);
  result.n_faults += more.n_faults;
  result.n_faults_before -= more.n_faults;
}

// What measuring the limits may take of the memory that is free, where `allowed` are left of a
// budget.
uint64_t most_probe_bytes(uint64_t allowed) {
  const uint64_t available = runtime::available_memory().available_bytes;
  return available == 0 ? allowed : std::min(allowed, available / 4);
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  char text[32];
  gmtime_r(&now, &utc);
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

// Limits before and after all that is measured; inside a budget there is room for the first alone.
int measure_and_report(const BenchOptions& options, const Stopwatch& watch,
                       std::shared_ptr<const runtime::Model> model,
                       const runtime::SessionOptions& resolved) {
  const auto plan = runtime::Session::plan(*model, resolved);
  if (!plan) return fail(plan.status());
  auto file = open_result(options, *model);
  if (!file) return fail(file.status());

  double load_seconds = watch.seconds();
  const std::string time = utc_now();
  const Processor processor = apps::processor();
  const uint64_t cache_bytes = processor.last_level_cache_bytes;
  const auto before =
      measure_limits(resolved, cache_bytes, most_probe_bytes(plan->limit_bytes / 2));
  if (!before) return fail(before.status());
  // Their memory is given back before the session takes its own.
  const Stopwatch warming;
  if (Status s = warm_up(*model, resolved, options.output); !s.ok()) return fail(s);
  load_seconds += warming.seconds();
  Benchmark crowd;
  if (options.benchmark.n_parallel > 0) {
    const Status status = run_parallel(model, resolved, options.benchmark, crowd);
    if (!status.ok()) return fail(status);
  }
  const Stopwatch loading;
  const auto session = open_session(model, resolved, options.output);
  if (!session) return fail(session.status());
  load_seconds += loading.seconds();

  auto result = run_benchmark(**session, options.benchmark);
  if (!result) return fail(result.status());
  add(std::move(crowd), *result);
  LimitsAround limits = {*before, std::nullopt};
  if (!plan->is_paged) {
    const auto after = measure_limits(resolved, cache_bytes,
                                      most_probe_bytes(plan->limit_bytes - plan->total_bytes()));
    if (!after) return fail(after.status());
    limits.after = *after;
  }
  const BenchReport report = {**session, options.benchmark, *result, limits, processor,
                              time,      load_seconds};
  const Status written = write(*file, options, report);
  return written.ok() ? kOk : fail(written);
}

int run_bench(const BenchOptions& options) {
  if (Status s = check(options.benchmark); !s.ok()) return fail(s);
  if (Status s = check_context(options.session.n_ctx, options.benchmark); !s.ok()) return fail(s);
  const Stopwatch watch;
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  if (Status s = refuse_encoder(**model); !s.ok()) return fail_model(s);
  runtime::SessionOptions session_options = options.session;
  session_options.profile_folder.clear();  // drawn tokens say nothing of what people write
  if (session_options.n_ctx == 0) session_options.n_ctx = options.benchmark.n_positions();
  const auto resolved = runtime::Session::resolve(**model, session_options);
  if (!resolved) return fail(resolved.status());
  tell_threads(session_options.n_threads, resolved->n_threads, options.output);
  return measure_and_report(options, watch, std::move(*model), *resolved);
}

}  // namespace

void add_bench(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("bench", "Measure speed, beside the limits of this machine");
  auto options = std::make_shared<BenchOptions>();
  add_model_option(command, options->model);
  const auto count = [&](const char* name, int32_t& value, int32_t least, const char* what,
                         int32_t most = kMostTokens) {
    command.add_option(name, value, what)
        ->check(CLI::Range(least, most).description(""))
        ->type_name("N")
        ->capture_default_str();
  };
  BenchmarkOptions& benchmark = options->benchmark;
  count("-p,--n-prompt", benchmark.n_prompt, 0, "Tokens of a prefill; 0: none");
  count("-n,--n-gen", benchmark.n_predict, 0, "Tokens decoded one by one; 0: none");
  command
      .add_option("-d,--n-depth", benchmark.depths,
                  "Tokens in the context before each begins; several with commas")
      ->delimiter(',')
      ->check(CLI::Range(0, kMostTokens).description(""))
      ->type_name("N,...")
      ->default_str("0");
  count("-r,--repetitions", benchmark.repetitions, 1, "How often each is measured", 10000);
  command.add_flag("--mixed", benchmark.is_mixed,
                   "Also a prefill and decoding behind it, timed as one");
  count("--parallel", benchmark.n_parallel, 0, "Also so many sequences decoded together",
        kMostSequences);
  command.add_flag("--parts", benchmark.times_parts,
                   "Time by part: attention, router, experts, head, sampling");
  command.add_option("-o,--output", options->file, "Also write the result as JSON to a file")
      ->type_name("FILE");
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_bench(*options); }; });
}

}  // namespace larder::apps
