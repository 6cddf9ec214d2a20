#include "apps/paging_report.h"

#include <algorithm>
#include <cstdio>

namespace larder::apps {
namespace {

using formats::DataValue;

template <class... Values>
std::string print(const char* format, Values... values) {
  char line[200];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

double gib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// Of the interval, how much computing stood still for reads.
double wait_share(const runtime::ExpertCounters& counters, double seconds) {
  return seconds <= 0 ? 0 : std::min(1.0, static_cast<double>(counters.wait_us) / (1e6 * seconds));
}

}  // namespace

std::string paging_text(const runtime::ExpertStoreFacts& facts, const runtime::RamBudget& ram) {
  std::string text = print("RAM %.2f GiB: resident %.2f, and %.2f of %.2f GiB of experts (%.0f %%)",
                           gib(ram.total_bytes()), gib(ram.total_bytes() - ram.expert_bytes),
                           gib(facts.slab_bytes), gib(facts.all_bytes), 100 * facts.cached_share());
  text += print("; the others are read when needed, %d at a time by %s", facts.n_lanes,
                facts.reader.c_str());
  if (facts.probe_bytes_per_s > 0)
    text += print(", the disk gives %.2f GB/s", facts.probe_bytes_per_s / 1e9);
  return text;
}

std::string paging_line(const runtime::ExpertStatistics& statistics, double seconds) {
  const runtime::ExpertCounters& counters = statistics.counters;
  std::string text =
      print("experts: %.1f %% hits, %.1f MB in %.1f reads a token", 100 * counters.hit_rate(),
            counters.bytes_per_token() / 1e6, counters.reads_per_token());
  if (counters.busy_us > 0) {
    text += print(", disk %.2f GB/s", counters.bytes_per_s() / 1e9);
    if (statistics.facts.probe_bytes_per_s > 0)
      text += print(" of %.2f", statistics.facts.probe_bytes_per_s / 1e9);
  }
  if (counters.n_ahead > 0)
    text += print(", %.0f %% of what was read ahead was used", 100 * counters.ahead_used_rate());
  if (seconds > 0)
    text += print(", waited %.0f %% of the time", 100 * wait_share(counters, seconds));
  return text;
}

DataValue to_data(const runtime::ExpertStatistics& statistics, double seconds) {
  const runtime::ExpertStoreFacts& facts = statistics.facts;
  const runtime::ExpertCounters& counters = statistics.counters;
  const auto number = [](uint64_t value) { return DataValue(static_cast<int64_t>(value)); };
  return DataValue::make_dict({{"slab_bytes", number(facts.slab_bytes)},
                               {"all_bytes", number(facts.all_bytes)},
                               {"cycle_bytes", number(facts.cycle_bytes)},
                               {"cached_share", facts.cached_share()},
                               {"n_slots", facts.n_slots},
                               {"reader", facts.reader},
                               {"n_lanes", facts.n_lanes},
                               {"is_direct", facts.is_direct},
                               {"probe_bytes_per_s", facts.probe_bytes_per_s},
                               {"n_tokens", number(counters.n_tokens)},
                               {"n_hits", number(counters.n_hits)},
                               {"n_misses", number(counters.n_misses)},
                               {"hit_rate", counters.hit_rate()},
                               {"bytes_warmed", number(counters.bytes_warmed)},
                               {"n_reads", number(counters.n_reads)},
                               {"bytes_read", number(counters.bytes_read)},
                               {"bytes_per_token", counters.bytes_per_token()},
                               {"reads_per_token", counters.reads_per_token()},
                               {"disk_bytes_per_s", counters.bytes_per_s()},
                               {"n_ahead", number(counters.n_ahead)},
                               {"n_ahead_used", number(counters.n_ahead_used)},
                               {"n_late", number(counters.n_late)},
                               {"wait_s", static_cast<double>(counters.wait_us) / 1e6},
                               {"busy_s", static_cast<double>(counters.busy_us) / 1e6},
                               {"wait_share", wait_share(counters, seconds)}});
}

}  // namespace larder::apps
