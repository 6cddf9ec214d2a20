#include "apps/bench_report.h"

#include <algorithm>
#include <cstdio>

#include "apps/file_summary.h"
#include "apps/paging_report.h"
#include "apps/terminal.h"

namespace larder::apps {
namespace {

// How bytes and operations are counted.
constexpr const char* kModelOfWork =
    "A token of decoding reads every weight it uses once, and the keys and values of all "
    "positions\n"
    "it sees; a step of parallel sequences reads shared weights and the distinct experts touched\n"
    "once, and keys and values of each sequence. A multiplication and an addition are two\n"
    "operations; those of attention at the depth are counted among them. A decoded token is "
    "sampled,\n"
    "too, as generate would; that is part of its time.\n";

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

// "64 % of reading": of the limit that bounds this way of use.
std::string share_text(const Measurement& m, const Shares& found) {
  switch (m.way) {
    case Way::prefill:
      return found.of_int8 ? print("%.0f %% of int8", 100 * *found.of_int8)
                           : "none: its arithmetic is float";
    case Way::decode:
      return found.of_reading ? print("%.0f %% of reading", 100 * *found.of_reading)
                              : "none: reading is not measured";
    case Way::mixed:
      return "";
    case Way::parallel:
      break;
  }
  const std::string experts = print("%.1f experts a layer", m.n_distinct_experts);
  if (!found.of_reading) return "none: reading is not measured; " + experts;
  return print("%.0f %% of %s, whose bound is %.2f tok/s; ", 100 * *found.most(),
               found.most() == found.of_reading ? "reading" : "int8", m.median() / *found.most()) +
         experts;
}

// Reading from a cache is no reading from memory.
std::string cache_text(const Measurement& m, const BenchReport& report) {
  if (m.bytes == 0) return "";
  const uint64_t cache_bytes = report.processor.last_level_cache_bytes;
  const std::optional<double> of_reading = shares(m, report.limits.mean()).of_reading;
  if (m.step_bytes() <= cache_bytes)
    return "; its " + size_text(m.step_bytes()) + " fit in the cache of " + size_text(cache_bytes);
  return of_reading && *of_reading > 1
             ? "; more than the limit: caches help, or it was measured on a busy machine"
             : "";
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
         share_text(m, shares(m, report.limits.mean())) + cache_text(m, report) + "\n";
}

std::string parts_row(const Measurement& m) {
  std::string text = "  time:";
  for (const auto& [name, seconds] : parts_of(m)) {
    text += print("%s %s %.1f %%", text.ends_with(':') ? "" : ",", name,
                  100 * seconds / m.total_seconds());
  }
  return text + "\n";
}

std::string limits_row(const char* when, const quant::MachineLimits& limits) {
  const std::string reading =
      limits.read_bytes_per_s > 0 ? print("%.2f", limits.read_bytes_per_s / 1e9) : "-";
  return print("limits   %-36s %12s %8.1f\n", when, reading.c_str(), limits.int8_ops_per_s / 1e9);
}

// Why there is no limit of reading.
std::string unread_text(const BenchReport& report) {
  if (report.limits.mean().read_bytes_per_s > 0) return "";
  return "Reading is not measured: that takes several times the last-level cache" +
         (report.processor.last_level_cache_bytes > 0
              ? ", which has " + size_text(report.processor.last_level_cache_bytes)
              : std::string()) +
         ", and less memory may be taken here.\n";
}

}  // namespace

std::vector<std::pair<const char*, double>> parts_of(const Measurement& m) {
  const auto of = [&](runtime::PassPart part) {
    return (*m.part_seconds)[static_cast<size_t>(part)];
  };
  std::vector<std::pair<const char*, double>> parts = {
      {"attention", of(runtime::PassPart::attention)},
      {"router", of(runtime::PassPart::router)},
      {"experts", of(runtime::PassPart::experts)},
      {"head", of(runtime::PassPart::head)},
      {"sampling", m.sampling_seconds}};
  double rest = m.total_seconds();
  for (const auto& [name, seconds] : parts) rest -= seconds;
  parts.emplace_back("rest", std::max(rest, 0.0));
  return parts;
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
  return text + unread_text(*this) + "\n" + kModelOfWork;
}

}  // namespace larder::apps
