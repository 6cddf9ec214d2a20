// What bench found as JSON.
#include <algorithm>
#include <string>
#include <utility>

#include "apps/bench_report.h"
#include "apps/paging_report.h"
#include "formats/json/json.h"
#include "quant/format.h"

namespace larder::apps {
namespace {

using formats::DataValue;

template <class T>
DataValue or_null(const std::optional<T>& value) {
  return value ? DataValue(*value) : DataValue();
}

DataValue integer(uint64_t n) { return static_cast<int64_t>(n); }

DataValue positive_or_null(double value) { return value > 0 ? DataValue(value) : DataValue(); }

// As the flags spell them.
std::string name_of(runtime::CacheType type) {
  std::string name = quant::find_format(static_cast<int32_t>(runtime::format_of(type)))->name;
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

DataValue to_data(const quant::MachineLimits& limits) {
  return DataValue::make_dict({{"read_bytes_per_s", positive_or_null(limits.read_bytes_per_s)},
                               {"int8_ops_per_s", limits.int8_ops_per_s}});
}

DataValue to_data(const LimitsAround& limits) {
  return DataValue::make_dict({{"before", to_data(limits.before)},
                               {"after", limits.after ? to_data(*limits.after) : DataValue()},
                               {"mean", to_data(limits.mean())}});
}

DataValue to_data(const Processor& processor) {
  return DataValue::make_dict(
      {{"name", processor.name.empty() ? DataValue() : DataValue(processor.name)},
       {"last_level_cache_bytes", processor.last_level_cache_bytes > 0
                                      ? integer(processor.last_level_cache_bytes)
                                      : DataValue()}});
}

DataValue parts_to_data(const Measurement& m) {
  if (!m.part_seconds) return {};
  DataValue parts = DataValue::make_dict();
  for (const auto& [name, seconds] : parts_of(m)) parts.dict.push_back({name, seconds});
  return parts;
}

DataValue to_data(const Measurement& m, const BenchReport& report) {
  DataValue seconds = DataValue::make_list();
  for (const double s : m.seconds) seconds.list.emplace_back(s);
  const Shares found = shares(m, report.limits.mean());
  const bool has_bytes = m.bytes > 0, is_parallel = m.way == Way::parallel;
  const uint64_t cache_bytes = report.processor.last_level_cache_bytes;
  return DataValue::make_dict(
      {{"way", std::string(name_of(m.way))},
       {"depth", static_cast<int64_t>(m.depth)},
       {"n_tokens", static_cast<int64_t>(m.n_tokens)},
       {"tokens_per_s",
        DataValue::make_dict({{"median", m.median()}, {"min", m.slowest()}, {"max", m.fastest()}})},
       {"seconds", std::move(seconds)},
       {"sampling_seconds", m.sampling_seconds},
       {"ops", integer(m.ops)},
       {"bytes", has_bytes ? integer(m.bytes) : DataValue()},
       {"ops_per_s", m.ops_per_s()},
       {"bytes_per_s", has_bytes ? DataValue(m.bytes_per_s()) : DataValue()},
       {"share_of_int8_ops", or_null(found.of_int8)},
       {"share_of_read_bytes", or_null(found.of_reading)},
       {"bound_tokens_per_s",
        has_bytes && found.most() ? DataValue(m.median() / *found.most()) : DataValue()},
       {"fits_in_cache",
        has_bytes && cache_bytes > 0 ? DataValue(m.step_bytes() <= cache_bytes) : DataValue()},
       {"n_sequences", is_parallel ? static_cast<int64_t>(report.options.n_parallel) : int64_t{1}},
       {"distinct_experts_per_layer", is_parallel ? DataValue(m.n_distinct_experts) : DataValue()},
       {"part_seconds", parts_to_data(m)},
       {"experts", m.experts ? apps::to_data(*m.experts, m.total_seconds()) : DataValue()}});
}

// What it was measured with.
DataValue setting(const BenchReport& report) {
  const runtime::Model& model = report.session.model();
  const runtime::SessionOptions& with = report.session.options();
  return DataValue::make_dict({{"version", std::string(LARDER_VERSION)},
                               {"time", report.time},
                               {"processor", to_data(report.processor)},
                               {"model", model.file().path()},
                               {"architecture", model.config().architecture},
                               {"model_bytes", integer(model.file().size_bytes())},
                               {"isa", report.session.isa()},
                               {"threads", with.n_threads},
                               {"batch_size", static_cast<int64_t>(with.batch_size)},
                               {"n_ctx", static_cast<int64_t>(report.session.n_ctx())},
                               {"cache_type_k", name_of(*with.cache_k)},
                               {"cache_type_v", name_of(*with.cache_v)},
                               {"is_exact", with.exact}});
}

}  // namespace

std::string BenchReport::to_json_line() const {
  DataValue measurements = DataValue::make_list();
  for (const Measurement& m : result.measurements) measurements.list.push_back(to_data(m, *this));
  DataValue record = setting(*this);
  DataValue found = DataValue::make_dict(
      {{"load_s", load_seconds},
       {"peak_memory",
        DataValue::make_dict({{"anonymous_bytes", integer(result.peak.anonymous_bytes)},
                              {"file_bytes", integer(result.peak.file_bytes)}})},
       {"major_faults", DataValue::make_dict({{"before", integer(result.n_faults_before)},
                                              {"measuring", integer(result.n_faults)}})},
       {"ram_bytes", integer(session.ram().total_bytes())},
       {"limits", to_data(limits)},
       {"measurements", std::move(measurements)}});
  for (auto& entry : found.dict) record.dict.push_back(std::move(entry));
  return to_json(record) + "\n";
}

}  // namespace larder::apps
