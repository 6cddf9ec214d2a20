// What a job came to: counts, scores, throughput over time and the slowest items, gathered entry by
// entry in memory of constant size; as JSON, and as a page of its own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/job_journal.h"
#include "formats/template/value.h"

namespace larder::apps {

// Counts of values in bins of equal width. The width, a power of two, is the least (from `width`
// on) with which `max_bins` reach from the smallest to the largest: the order of values does not
// matter.
class Histogram {
 public:
  Histogram(double width, size_t max_bins) : width_(width), max_bins_(max_bins) {}
  void add(double value, double weight = 1);
  double width() const noexcept { return width_; }
  // Bin i is [i width, (i + 1) width).
  const std::map<int64_t, double>& bins() const noexcept { return bins_; }

 private:
  void widen();
  double width_;
  size_t max_bins_;
  std::map<int64_t, double> bins_;
};

// How the job stands and what it is.
struct JobFacts {
  std::string command;
  formats::DataValue identity;
  int64_t n_resumed = 0;  // lines that earlier runs have done
};

class JobReport {
 public:
  JobReport();
  // `text`: the entry's record, asked for its id where it is among the slowest.
  void add(const JournalEntry& entry, std::string_view text);

  int64_t n_lines() const noexcept { return n_lines_; }
  int64_t n_failed() const noexcept { return n_failed_; }
  int64_t n_tokens() const noexcept { return n_prompt_ + n_predicted_; }
  double seconds() const noexcept { return static_cast<double>(end_ms_) / 1e3; }
  double tokens_per_second() const noexcept;

  // {"command", "status", "request_counts": {"total", "completed", "failed"}, "n_resumed", "usage",
  // "seconds", "tokens_per_second", "scores", "throughput", "slowest", "identity"}
  formats::DataValue to_data(const JobFacts& facts) const;
  // One page, nothing loaded from elsewhere.
  std::string to_html(const JobFacts& facts) const;

 private:
  struct Slow {
    uint32_t took_ms = 0;
    int64_t line = 0;
    std::string id;  // JSON
  };
  void add_slow(const JournalEntry& entry, std::string_view text);

  int64_t n_lines_ = 0, n_failed_ = 0, n_prompt_ = 0, n_predicted_ = 0, n_scores_ = 0;
  double sum_of_scores_ = 0;
  uint64_t end_ms_ = 0;
  Histogram scores_, throughput_;  // of scores; tokens by second
  std::vector<Slow> slowest_;      // the slowest first
};

}  // namespace larder::apps
