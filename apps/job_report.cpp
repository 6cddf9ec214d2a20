#include "apps/job_report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;

constexpr size_t kScoreBins = 48, kTimeBins = 120, kSlowest = 10;
constexpr double kLeastScoreWidth = 1.0 / 1024;  // nats

// Beyond it a score is no log-probability, and bins could not be counted.
constexpr double kLargestScore = 1e12;

DataValue bins_to_data(const Histogram& histogram, double per) {
  DataValue bins = DataValue::make_list();
  for (const auto& [bin, weight] : histogram.bins()) {
    bins.list.push_back(DataValue::make_list(
        {static_cast<double>(bin) * histogram.width(), DataValue(weight / per)}));
  }
  return bins;
}

std::string id_of(std::string_view text) {
  const Result<DataValue> record = formats::parse_json(text);
  if (!record) return "null";
  for (const std::string_view name : {"custom_id", "id"}) {
    if (const DataValue* const id = record->find(name)) return to_json(*id);
  }
  return "null";
}

}  // namespace

void Histogram::add(double value, double weight) {
  bins_[static_cast<int64_t>(std::floor(value / width_))] += weight;
  while (static_cast<size_t>(bins_.rbegin()->first - bins_.begin()->first) >= max_bins_) widen();
}

void Histogram::widen() {
  width_ *= 2;
  std::map<int64_t, double> wider;
  for (const auto& [bin, weight] : bins_) wider[bin >> 1] += weight;
  bins_ = std::move(wider);
}

JobReport::JobReport() : scores_(kLeastScoreWidth, kScoreBins), throughput_(1, kTimeBins) {}

void JobReport::add(const JournalEntry& entry, std::string_view text) {
  ++n_lines_;
  n_failed_ += entry.has_failed != 0 ? 1 : 0;
  n_prompt_ += entry.n_prompt;
  n_predicted_ += entry.n_predicted;
  end_ms_ = std::max(end_ms_, entry.at_ms);
  throughput_.add(static_cast<double>(entry.at_ms) / 1e3, 1.0 * entry.n_prompt + entry.n_predicted);
  if (std::abs(entry.score) < kLargestScore) {
    ++n_scores_;
    sum_of_scores_ += entry.score;
    scores_.add(entry.score);
  }
  add_slow(entry, text);
}

void JobReport::add_slow(const JournalEntry& entry, std::string_view text) {
  const auto is_before = [](const Slow& a, const Slow& b) {
    return a.took_ms != b.took_ms ? a.took_ms > b.took_ms : a.line < b.line;
  };
  Slow slow = {entry.took_ms, entry.line, {}};
  const auto place = std::lower_bound(slowest_.begin(), slowest_.end(), slow, is_before);
  if (static_cast<size_t>(place - slowest_.begin()) >= kSlowest) return;
  slow.id = id_of(text);
  slowest_.insert(place, std::move(slow));
  if (slowest_.size() > kSlowest) slowest_.pop_back();
}

double JobReport::tokens_per_second() const noexcept {
  return end_ms_ == 0 ? 0 : static_cast<double>(n_tokens()) / seconds();
}

DataValue JobReport::to_data(const JobFacts& facts) const {
  DataValue slowest = DataValue::make_list();
  for (const Slow& slow : slowest_) {
    Result<DataValue> id = formats::parse_json(slow.id);
    slowest.list.push_back(DataValue::make_dict(
        {{"line", slow.line}, {"id", id ? *id : DataValue()}, {"seconds", slow.took_ms / 1e3}}));
  }
  DataValue scores = DataValue::make_dict({{"count", n_scores_}});
  if (n_scores_ > 0) {
    scores.dict.emplace_back("mean", sum_of_scores_ / static_cast<double>(n_scores_));
    scores.dict.emplace_back("bin_width", scores_.width());
    scores.dict.emplace_back("bins", bins_to_data(scores_, 1));
  }
  return DataValue::make_dict(
      {{"command", facts.command},
       {"status", "completed"},
       {"request_counts",
        DataValue::make_dict(
            {{"total", n_lines_}, {"completed", n_lines_ - n_failed_}, {"failed", n_failed_}})},
       {"n_resumed", facts.n_resumed},
       {"usage", DataValue::make_dict({{"prompt_tokens", n_prompt_},
                                       {"completion_tokens", n_predicted_},
                                       {"total_tokens", n_tokens()}})},
       {"seconds", seconds()},
       {"tokens_per_second", tokens_per_second()},
       {"scores", std::move(scores)},
       {"throughput", DataValue::make_dict(
                          {{"bin_seconds", throughput_.width()},
                           {"tokens_per_second", bins_to_data(throughput_, throughput_.width())}})},
       {"slowest", std::move(slowest)},
       {"identity", facts.identity}});
}

}  // namespace larder::apps
