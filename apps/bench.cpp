// larder bench: tokens a second, beside what this machine could do at most.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "apps/benchmark.h"
#include "apps/exit_code.h"
#include "apps/json.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/paging_report.h"
#include "apps/subcommands.h"
#include "apps/timings.h"

namespace larder::apps {
namespace {

using formats::DataValue;

struct BenchOptions {
  std::string model;
  OutputOptions output;
  runtime::SessionOptions session;
  BenchmarkOptions benchmark;
};

struct Subject {
  const runtime::Session& session;
  const quant::MachineLimits& limits;  // with the session's threads and instruction set
  double load_seconds;
};

template <class... Values>
std::string print(const char* format, Values... values) {
  char line[160];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

// "qwen3moe, 4.76 GiB, loaded in 0.03 s ..." and a table; figures are medians.
std::string to_table(const Subject& subject, const Benchmark& result) {
  const runtime::Model& model = subject.session.model();
  std::string text =
      print("%s: %s, %.2f GiB, loaded in %.2f s, peak memory %.2f GiB\n",
            model.file().path().c_str(), model.config().architecture.c_str(),
            static_cast<double>(model.file().size_bytes()) / (1 << 30), subject.load_seconds,
            static_cast<double>(result.peak_memory_bytes) / (1 << 30));
  text += print("%d threads, %s%s\n\n", subject.session.options().n_threads, subject.session.isa(),
                subject.session.options().exact ? ", exact" : "");
  text += print("%-13s %9s %19s %8s %8s  %s\n", "", "tok/s", "(min - max)", "GB/s", "Gop/s",
                "of this machine's limit");
  const auto row = [&](const char* name, const Measurement& m) {
    return print("%-8s %4d %9.2f (%7.2f - %7.2f)", name, m.n_tokens, m.median(), m.slowest(),
                 m.fastest());
  };
  const quant::MachineLimits& limits = subject.limits;
  if (const Measurement& m = result.prefill; m.is_measured()) {
    text += row("prefill", m) + print(" %8s %8.1f  %.0f %% of int8\n", "", m.ops_per_s() / 1e9,
                                      100 * m.ops_per_s() / limits.int8_ops_per_s);
  }
  if (const Measurement& m = result.decode; m.is_measured()) {
    const double share = m.bytes_per_s() / limits.read_bytes_per_s;
    text += row("decode", m) + print(" %8.2f %8.1f  %.0f %% of reading%s\n", m.bytes_per_s() / 1e9,
                                     m.ops_per_s() / 1e9, 100 * share,
                                     share > 1 ? ": it stays in the cache" : "");
  }
  for (const Measurement* m : {&result.prefill, &result.decode}) {
    if (m->is_measured() && m->experts)
      text += print("%-8s ", m == &result.decode ? "decode" : "prefill") +
              paging_line(*m->experts, m->total_seconds()) + "\n";
  }
  return text + print("%-43s %8.2f %8.1f  measured just now\n", "limits",
                      limits.read_bytes_per_s / 1e9, limits.int8_ops_per_s / 1e9);
}

DataValue to_data(const Measurement& m, const quant::MachineLimits& limits) {
  if (!m.is_measured()) return {};
  DataValue seconds = DataValue::make_list();
  for (const double s : m.seconds) seconds.list.emplace_back(s);
  const bool knows_bytes = m.bytes > 0;
  return DataValue::make_dict(
      {{"n_tokens", m.n_tokens},
       {"tokens_per_s",
        DataValue::make_dict({{"median", m.median()}, {"min", m.slowest()}, {"max", m.fastest()}})},
       {"seconds", std::move(seconds)},
       {"ops_per_s", m.ops_per_s()},
       {"bytes_per_s", knows_bytes ? DataValue(m.bytes_per_s()) : DataValue()},
       {"experts", m.experts ? apps::to_data(*m.experts, m.total_seconds()) : DataValue()},
       {"share_of_int8_ops", m.ops_per_s() / limits.int8_ops_per_s},
       {"share_of_read_bytes",
        knows_bytes ? DataValue(m.bytes_per_s() / limits.read_bytes_per_s) : DataValue()}});
}

std::string to_json_line(const Subject& subject, const BenchmarkOptions& options,
                         const Benchmark& result) {
  const runtime::Model& model = subject.session.model();
  const runtime::SessionOptions& session = subject.session.options();
  return to_json(DataValue::make_dict(
             {{"model", model.file().path()},
              {"architecture", model.config().architecture},
              {"model_bytes", static_cast<int64_t>(model.file().size_bytes())},
              {"isa", subject.session.isa()},
              {"threads", session.n_threads},
              {"batch_size", static_cast<int64_t>(session.batch_size)},
              {"is_exact", session.exact},
              {"depth", static_cast<int64_t>(options.depth)},
              {"load_s", subject.load_seconds},
              {"peak_memory_bytes", static_cast<int64_t>(result.peak_memory_bytes)},
              {"ram_bytes", static_cast<int64_t>(subject.session.ram().total_bytes())},
              {"limits",
               DataValue::make_dict({{"read_bytes_per_s", subject.limits.read_bytes_per_s},
                                     {"int8_ops_per_s", subject.limits.int8_ops_per_s}})},
              {"prefill", to_data(result.prefill, subject.limits)},
              {"decode", to_data(result.decode, subject.limits)}})) +
         "\n";
}

int run_bench(const BenchOptions& options) {
  const Stopwatch watch;
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  if ((*model)->config().has_encoder()) {
    return fail_model(
        Status(Cause::unsupported,
               "has an encoder; prefill and decode, which bench measures, are those of a decoder "
               "alone, so nothing was measured (`larder generate` tells its own speed)")
            .with_file((*model)->file().path()));
  }
  runtime::SessionOptions session_options = options.session;
  session_options.profile_folder.clear();  // drawn tokens say nothing of what people write
  if (session_options.n_ctx == 0) session_options.n_ctx = options.benchmark.n_positions();
  const auto resolved = runtime::Session::resolve(**model, session_options);
  if (!resolved) return fail(resolved.status());
  const auto plan = runtime::Session::plan(**model, *resolved);
  if (!plan) return fail(plan.status());
  // Inside a budget there is no room for it later.
  Result<quant::MachineLimits> limits = quant::MachineLimits();
  const double before_limits = watch.seconds();
  if (plan->is_paged) limits = measure_limits(*resolved, plan->limit_bytes / 4);
  if (!limits) return fail(limits.status());
  const double after_limits = watch.seconds();
  const auto session = open_session(*model, *resolved, options.output);
  if (!session) return fail(session.status());
  const double load_seconds = watch.seconds() - (after_limits - before_limits);

  const auto result = run_benchmark(**session, options.benchmark);
  if (!result) return fail(result.status());
  if (!plan->is_paged) limits = measure_limits(*resolved, SIZE_MAX);
  if (!limits) return fail(limits.status());
  const Subject subject = {**session, *limits, load_seconds};
  Output output = Output::standard();
  output.write(options.output.is_json ? to_json_line(subject, options.benchmark, *result)
                                      : to_table(subject, *result));
  const Status written = output.finish();
  return written.ok() ? kOk : fail(written);
}

}  // namespace

void add_bench(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("bench", "Measure speed, beside the limits of this machine");
  auto options = std::make_shared<BenchOptions>();
  add_model_option(command, options->model);
  const auto count = [&](const char* name, int32_t& value, int32_t least, const char* what) {
    command.add_option(name, value, what)
        ->check(CLI::Range(least, 1 << 24).description(""))
        ->type_name("N")
        ->capture_default_str();
  };
  BenchmarkOptions& benchmark = options->benchmark;
  count("-p,--n-prompt", benchmark.n_prompt, 0, "Tokens of a prefill; 0: none");
  count("-n,--n-gen", benchmark.n_predict, 0, "Tokens decoded one by one; 0: none");
  count("-d,--n-depth", benchmark.depth, 0, "Tokens in the context before either begins");
  count("-r,--repetitions", benchmark.repetitions, 1, "How often each is measured");
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_bench(*options); }; });
}

}  // namespace larder::apps
