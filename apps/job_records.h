// Where the records of a job go, in which order, and what of them outlives the program.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "apps/job_journal.h"
#include "apps/job_report.h"
#include "apps/line_job.h"

namespace larder::apps {

class JobRecords {
 public:
  // A regular file, or one that is not there yet: by way of a journal beside it. Streams and
  // devices: as they come, without one. Errors: those of Journal::open and Output::open.
  static Result<std::unique_ptr<JobRecords>> open(const JobOptions& options,
                                                  const formats::DataValue& identity);
  virtual ~JobRecords() = default;

  // What an earlier run made of this line. Lines are asked for in ascending order.
  virtual Result<std::optional<JournalEntry>> find(int64_t line) = 0;
  // Whether an earlier run had lines behind all that were asked for.
  virtual Result<bool> has_more() = 0;
  virtual void add(const JournalEntry& entry, std::string_view text) = 0;
  // After some were added, and while nothing is. Error `io`.
  virtual Status write() = 0;
  // The job ends early: what there is is brought to safety.
  virtual Status keep() = 0;
  // All lines are done: the results take their places, the report is complete.
  virtual Status finish(JobReport& report) = 0;
  // Behind finish() and what else must not get lost: nothing is left to continue.
  virtual Status forget() = 0;

  virtual const Journal* journal() const noexcept = 0;  // null where there is none
  virtual size_t held_bytes() const noexcept = 0;       // waiting for an earlier line, in memory
  virtual bool has_lost_reader() const noexcept = 0;    // of stdout
};

}  // namespace larder::apps
