#include "apps/bench_report.h"

#include <cstdio>
#include <utility>

#include "apps/file_summary.h"
#include "apps/paging_report.h"
#include "apps/terminal.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;

constexpr const char* kPartNames[] = {"attention", "router", "experts", "head", "rest"};
static_assert(std::size(kPartNames) == runtime::kNumPassParts);

// How bytes and operations are counted.
constexpr const char* kModelOfWork =
    "A token of decoding reads every weight it uses once, and the keys and values of all "
    "positions\n"
    "it sees; a step of parallel sequences reads shared weights and the distinct experts touched\n"
    "once, and keys and values of each sequence. A multiplication and an addition are two\n"
    "operations; those of attention at the depth are counted among them.\n";

template <class... Values>
std::string print(const char* format, Values... values) {
  char line[200];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string time_text(double seconds) {
  return seconds < 1 ? print("%.1f ms", seconds * 1e3) : print("%.2f s", seconds);
}

std::string heading(const BenchReport& report) {
  const runtime::Model& model = report.session.model();
  const ResidentMemory& peak = report.result.peak;
  return model.file().path() + ": " + model.config().architecture + ", " +
         size_text(model.file().size_bytes()) + ", loaded in " + time_text(report.load_seconds) +
         "\n" + counted(report.session.options().n_threads, "thread") + ", " +
         report.session.isa() + (report.session.options().exact ? ", exact" : "") +
         "; most memory: " + size_text(peak.anonymous_bytes) + " anonymous, " +
         size_text(peak.file_bytes) + " of files\n" +
         print("major faults: %llu before, %llu while measuring\n\n",
               static_cast<unsigned long long>(report.result.n_faults_before),
               static_cast<unsigned long long>(report.result.n_faults));
}

// "64 % of reading" or "58 % of int8": of the limit that bounds this way of use.
std::string share(const Measurement& m, const quant::MachineLimits& limits) {
  const double of_reading = m.bytes_per_s() / limits.read_bytes_per_s;
  const double of_ops = 100 * m.ops_per_s() / limits.int8_ops_per_s;
  switch (m.way) {
    case Way::prefill:
      return print("%.0f %% of int8", of_ops);
    case Way::decode:
      return print("%.0f %% of reading%s", 100 * of_reading,
                   of_reading > 1 ? ": it stays in the cache" : "");
    case Way::mixed:
      return "";
    case Way::parallel:
      return print("%.0f %% of reading, whose bound is %.2f tok/s; %.1f experts a layer",
                   100 * of_reading, m.median() / of_reading, m.n_distinct_experts);
  }
  return "";
}

std::string row(const Measurement& m, const BenchReport& report) {
  const BenchmarkOptions& options = report.options;
  std::string what = std::to_string(m.n_tokens);
  if (m.way == Way::mixed)
    what = print("%d+%d", options.n_prompt, options.n_predict);
  else if (m.way == Way::parallel)
    what = print("%dx%d", options.n_parallel, options.n_predict);
  const std::string bytes = m.bytes > 0 ? print("%.2f", m.bytes_per_s() / 1e9) : "";
  return print("%-8s %8s %6d %9.2f (%7.2f - %7.2f) %8s %8.1f  ", name_of(m.way), what.c_str(),
               m.depth, m.median(), m.slowest(), m.fastest(), bytes.c_str(), m.ops_per_s() / 1e9) +
         share(m, report.limits.mean()) + "\n";
}

std::string parts_row(const Measurement& m) {
  std::string text = "  time:";
  double total = 0;
  for (const double seconds : *m.part_seconds) total += seconds;
  for (size_t i = 0; i < std::size(kPartNames); ++i) {
    text += print("%s %s %.1f %%", i == 0 ? "" : ",", kPartNames[i],
                  total > 0 ? 100 * (*m.part_seconds)[i] / total : 0.0);
  }
  return text + "\n";
}

std::string limits_row(const char* when, const quant::MachineLimits& limits) {
  return print("limits   %-36s %12.2f %8.1f\n", when, limits.read_bytes_per_s / 1e9,
               limits.int8_ops_per_s / 1e9);
}

DataValue to_data(const quant::MachineLimits& limits) {
  return DataValue::make_dict(
      {{"read_bytes_per_s", limits.read_bytes_per_s}, {"int8_ops_per_s", limits.int8_ops_per_s}});
}

DataValue parts_to_data(const Measurement& m) {
  if (!m.part_seconds) return {};
  DataValue parts = DataValue::make_dict();
  for (size_t i = 0; i < std::size(kPartNames); ++i)
    parts.dict.push_back({kPartNames[i], (*m.part_seconds)[i]});
  return parts;
}

DataValue to_data(const Measurement& m, const BenchReport& report) {
  const quant::MachineLimits limits = report.limits.mean();
  DataValue seconds = DataValue::make_list();
  for (const double s : m.seconds) seconds.list.emplace_back(s);
  const double of_reading = m.bytes_per_s() / limits.read_bytes_per_s;
  const auto if_bytes = [&](double value) { return m.bytes > 0 ? DataValue(value) : DataValue(); };
  const bool is_parallel = m.way == Way::parallel;
  return DataValue::make_dict(
      {{"way", std::string(name_of(m.way))},
       {"depth", static_cast<int64_t>(m.depth)},
       {"n_tokens", static_cast<int64_t>(m.n_tokens)},
       {"tokens_per_s",
        DataValue::make_dict({{"median", m.median()}, {"min", m.slowest()}, {"max", m.fastest()}})},
       {"seconds", std::move(seconds)},
       {"ops", static_cast<int64_t>(m.ops)},
       {"bytes", m.bytes > 0 ? DataValue(static_cast<int64_t>(m.bytes)) : DataValue()},
       {"ops_per_s", m.ops_per_s()},
       {"bytes_per_s", if_bytes(m.bytes_per_s())},
       {"share_of_int8_ops", m.ops_per_s() / limits.int8_ops_per_s},
       {"share_of_read_bytes", if_bytes(of_reading)},
       {"bound_tokens_per_s", if_bytes(m.median() / of_reading)},
       {"n_sequences", is_parallel ? static_cast<int64_t>(report.options.n_parallel) : int64_t{1}},
       {"distinct_experts_per_layer", is_parallel ? DataValue(m.n_distinct_experts) : DataValue()},
       {"part_seconds", parts_to_data(m)},
       {"experts", m.experts ? apps::to_data(*m.experts, m.total_seconds()) : DataValue()}});
}

}  // namespace

quant::MachineLimits LimitsAround::mean() const noexcept {
  if (!after) return before;
  return {(before.read_bytes_per_s + after->read_bytes_per_s) / 2,
          (before.int8_ops_per_s + after->int8_ops_per_s) / 2};
}

std::string BenchReport::to_table() const {
  std::string text = heading(*this);
  text += print("%-8s %8s %6s %9s %19s %8s %8s  %s\n", "", "tokens", "depth", "tok/s",
                "(min - max)", "GB/s", "Gop/s", "of this machine's limit");
  for (const Measurement& m : result.measurements) {
    text += row(m, *this);
    if (m.experts) text += "  " + paging_line(*m.experts, m.total_seconds()) + "\n";
    if (m.part_seconds) text += parts_row(m);
  }
  text += limits_row("measured before", limits.before);
  if (limits.after) {
    text += limits_row("measured after", *limits.after) +
            limits_row("their mean, which shares are of", limits.mean());
  }
  return text + "\n" + kModelOfWork;
}

std::string BenchReport::to_json_line() const {
  const runtime::Model& model = session.model();
  const runtime::SessionOptions& with = session.options();
  DataValue measurements = DataValue::make_list();
  for (const Measurement& m : result.measurements) measurements.list.push_back(to_data(m, *this));
  return to_json(DataValue::make_dict(
             {{"model", model.file().path()},
              {"architecture", model.config().architecture},
              {"model_bytes", static_cast<int64_t>(model.file().size_bytes())},
              {"isa", session.isa()},
              {"threads", with.n_threads},
              {"batch_size", static_cast<int64_t>(with.batch_size)},
              {"is_exact", with.exact},
              {"load_s", load_seconds},
              {"peak_memory",
               DataValue::make_dict(
                   {{"anonymous_bytes", static_cast<int64_t>(result.peak.anonymous_bytes)},
                    {"file_bytes", static_cast<int64_t>(result.peak.file_bytes)}})},
              {"major_faults",
               DataValue::make_dict({{"before", static_cast<int64_t>(result.n_faults_before)},
                                     {"measuring", static_cast<int64_t>(result.n_faults)}})},
              {"ram_bytes", static_cast<int64_t>(session.ram().total_bytes())},
              {"limits",
               DataValue::make_dict({{"before", to_data(limits.before)},
                                     {"after", limits.after ? to_data(*limits.after) : DataValue()},
                                     {"mean", to_data(limits.mean())}})},
              {"measurements", std::move(measurements)}})) +
         "\n";
}

}  // namespace larder::apps
