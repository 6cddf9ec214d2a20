// A job over the lines of a JSONL file: lines come in as a stream, a worker turns each into one
// record, and what is done survives whatever ends the program.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "apps/exit_code.h"
#include "apps/options.h"
#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::apps {

// Longer lines become error records. Room for a long context's text and its JSON around it.
inline constexpr size_t kMaxLineBytes = size_t{8} << 20;

// One line of the input, understood as JSON.
struct JobLine {
  int64_t number = 0;        // of the whole input, from 1
  formats::DataValue value;  // a dict
  formats::DataValue id;     // of the line; null where it has none
};

// What a line became.
struct FinishedLine {
  int64_t number = 0;
  std::string record;  // one JSON object, no line end; the same for the same line, whenever it runs
  bool has_failed = false;
  int64_t n_prompt = 0, n_predicted = 0;                    // tokens read and made
  double score = std::numeric_limits<double>::quiet_NaN();  // for the report's histogram
};

// What a subcommand does with lines. Everything is called by one thread.
class LineWorker {
 public:
  virtual ~LineWorker() = default;
  // The names that a line's id may have, the first one that is there counts.
  virtual std::vector<std::string_view> id_names() const = 0;
  // The record of a line that never comes to the worker: too long, no JSON object, an id that came
  // before. `id` is null where it is not known.
  virtual std::string error_record(int64_t number, const formats::DataValue& id,
                                   const Status& why) const = 0;
  // Whether there is room for a line besides those under way. REQUIRES: true where none is.
  virtual bool wants_line() const = 0;
  // A line that the worker itself refuses is a finished one of the next step.
  virtual void take(JobLine line) = 0;
  // Lines taken and not finished.
  virtual bool has_work() const = 0;
  // Some work on the lines under way, a second or so at most where that is possible; appends those
  // that are finished, in any order. An error ends the job; what finished before stays. `cancelled`
  // is none where a signal has come.
  virtual Status step(std::vector<FinishedLine>& finished) = 0;
};

// Lines I, I + N, I + 2 N, ... of the input, from 1.
struct Shard {
  int64_t index = 1, count = 1;
  bool has(int64_t line) const noexcept { return (line - 1) % count == index - 1; }
};
// "2/8". Error `invalid_argument`.
Result<Shard> parse_shard(const std::string& text);

struct JobOptions {
  std::string input, output;  // "-": stdin, stdout
  std::string errors;         // records of failed lines go there; empty: among the others
  std::string report;         // .json or .html; empty: none
  Shard shard;
  bool is_as_completed = false;     // records in the order in which they are finished
  bool is_restart = false;          // throws away what an earlier run has done
  bool retries_errors = false;      // does again what failed in an earlier run, and may be mended
  std::vector<std::string> in_use;  // files that the run reads and may not write, the model's
};

void add_job_options(CLI::App& command, JobOptions& options);

// Runs the worker over the input to its end. `identity` is what the records depend on besides their
// lines: command, model, settings; a journal of an earlier run is continued only where it says
// the same. Says errors and the progress on stderr; answers the program's exit code.
ExitCode run_line_job(LineWorker& worker, const formats::DataValue& identity,
                      const JobOptions& options, const OutputOptions& output);

}  // namespace larder::apps
