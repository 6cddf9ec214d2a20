#include "apps/line_job.h"

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "apps/job_ids.h"
#include "apps/job_input.h"
#include "apps/job_progress.h"
#include "apps/job_records.h"
#include "apps/output.h"
#include "apps/signals.h"
#include "apps/terminal.h"
#include "apps/timings.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;

// How far lines are taken beyond the first that is not finished, and how much may wait for it:
// what bounds the memory of putting records in order.
constexpr int64_t kMaxAhead = 1 << 16;
constexpr size_t kMaxHeldBytes = size_t{64} << 20;

class LineJob {
 public:
  LineJob(LineWorker& worker, const DataValue& identity, const JobOptions& options,
          const OutputOptions& output)
      : worker_(worker),
        identity_(identity),
        options_(options),
        output_(output),
        progress_(command(), output) {}

  ExitCode run();

 private:
  struct UnderWay {
    Digest line, id;
    double taken_at = 0;
    bool is_redone = false;  // an earlier run had another record of it
  };

  std::string command() const {
    const DataValue* const name = identity_.find("command");
    return name != nullptr ? name->string : "job";
  }
  Status open();
  void tell_start();
  Status work();
  Status take_lines();
  Status take(const InputLine& line);
  Status take_new(const InputLine& line, bool is_redone);
  Result<bool> still_counts(const InputLine& line, const JournalEntry& earlier);
  Result<bool> is_new(const Digest& id);
  DataValue id_of(const DataValue& value) const;
  void record(FinishedLine finished, const UnderWay& origin);
  Status step();
  Status check_end();
  bool has_room() const;
  JobPosition position() const;
  ExitCode stop();
  ExitCode finish();
  Status write_report(const JobReport& report, const JobFacts& facts) const;
  void tell_end(const JobReport& report, const JobFacts& facts);

  LineWorker& worker_;
  DataValue identity_;
  const JobOptions& options_;
  const OutputOptions& output_;
  JobProgress progress_;
  Stopwatch watch_;
  uint64_t earlier_ms_ = 0;  // that earlier runs worked
  std::unique_ptr<JobRecords> records_;
  std::optional<LineReader> input_;
  std::optional<IdSet> ids_;
  std::map<int64_t, UnderWay> under_way_;
  bool has_input_ended_ = false;
  int64_t n_resumed_ = 0, n_done_ = 0, n_failed_ = 0, n_tokens_ = 0;
};

Status LineJob::open() {
  if (identity_.kind == DataValue::Kind::dict) {
    identity_.dict.insert(identity_.dict.begin(), {"larder", LARDER_VERSION});
    identity_.dict.emplace_back(
        "shard", std::to_string(options_.shard.index) + "/" + std::to_string(options_.shard.count));
  }
  Result<LineReader> input = LineReader::open(options_.input, kMaxLineBytes);
  if (!input) return input.status();
  input_.emplace(std::move(*input));
  auto records = JobRecords::open(options_, identity_);
  if (!records) return records.status();
  records_ = std::move(*records);
  const std::filesystem::path beside = std::filesystem::path(options_.output).parent_path();
  const std::string folder = records_->journal() == nullptr
                                 ? std::filesystem::temp_directory_path().string()
                             : beside.empty() ? "."
                                              : beside.string();
  Result<IdSet> ids = IdSet::create(folder);
  if (!ids) return ids.status();
  ids_.emplace(std::move(*ids));
  return {};
}

void LineJob::tell_start() {
  const Journal* const journal = records_->journal();
  if (journal == nullptr) {
    progress_.say(
        "the results go to a stream: there is no journal, and an interrupted run "
        "cannot be continued");
  } else {
    earlier_ms_ = journal->working_ms();
    if (journal->n_found() > 0) {
      progress_.say("continuing: " + std::to_string(journal->n_found()) +
                    " lines are done already, by " + journal->path());
    }
    if (journal->cut_bytes() > 0) {
      progress_.say("the last " + std::to_string(journal->cut_bytes()) +
                    " bytes of the journal are torn or damaged; what they held is done again");
    }
  }
  progress_.event("start", {{"command", command()},
                            {"resumed", journal != nullptr ? journal->n_found() : 0},
                            {"has_journal", journal != nullptr}});
}

JobPosition LineJob::position() const {
  JobPosition position = {n_done_, n_failed_, static_cast<int64_t>(under_way_.size()), n_tokens_,
                          std::nullopt};
  if (const auto size = input_->size_bytes(); size && *size > 0) {
    const double n_read = static_cast<double>(n_done_ + position.n_under_way);
    const double finished = n_read > 0 ? static_cast<double>(n_done_) / n_read : 1;
    position.share =
        std::min(1.0, static_cast<double>(input_->bytes_done()) / static_cast<double>(*size)) *
        finished;
  }
  return position;
}

bool LineJob::has_room() const {
  if (!worker_.wants_line() || records_->held_bytes() > kMaxHeldBytes) return false;
  if (under_way_.empty()) return true;
  const int64_t ahead = under_way_.rbegin()->first - under_way_.begin()->first;
  return ahead / options_.shard.count < kMaxAhead;
}

Status LineJob::take_lines() {
  InputLine line;
  while (!has_input_ended_ && !is_ending() && has_room()) {
    const auto found = input_->next(line, !worker_.has_work());
    if (!found) return found.status();
    if (*found == LineReader::Found::nothing_yet) return {};
    if (*found == LineReader::Found::end) {
      has_input_ended_ = true;
      return check_end();
    }
    if (Status s = take(line); !s.ok()) return s;
    // What is refused here never comes to a step.
    if (Status s = records_->write(); !s.ok()) return s;
    progress_.update(position());
  }
  return {};
}

Status LineJob::check_end() {
  const Result<bool> has_more = records_->has_more();
  if (!has_more) return has_more.status();
  if (!*has_more) return {};
  return Status(Cause::invalid_argument,
                "ends before lines that are done already: it is another input than the one of the "
                "earlier run; --restart throws away what that has done")
      .with_file(options_.input);
}

DataValue LineJob::id_of(const DataValue& value) const {
  for (const std::string_view name : worker_.id_names()) {
    if (const DataValue* const id = value.find(name)) return *id;
  }
  return {};
}

// Whether what an earlier run made of the line is what this one would.
Result<bool> LineJob::still_counts(const InputLine& line, const JournalEntry& earlier) {
  if (earlier.has_failed != 0 && options_.retries_errors) return false;
  if (earlier.line_digest != line.digest) {
    return Status(Cause::invalid_argument,
                  "line " + std::to_string(line.number) +
                      " is not what it was when an earlier run did it; --restart throws away what "
                      "that has done")
        .with_file(options_.input);
  }
  const Result<bool> is_new_id = is_new(earlier.id_digest);
  if (!is_new_id) return is_new_id;
  // A failed line before it may have been mended to one of the same id.
  if (!*is_new_id && earlier.has_failed == 0) return false;
  ++n_resumed_;
  ++n_done_;
  n_failed_ += earlier.has_failed;
  return true;
}

// A line without an id is like no other.
Result<bool> LineJob::is_new(const Digest& id) {
  return id == Digest{} ? Result<bool>(true) : ids_->insert(id);
}

Status LineJob::take(const InputLine& line) {
  if (!options_.shard.has(line.number)) return take_new(line, false);
  const auto earlier = records_->find(line.number);
  if (!earlier) return earlier.status();
  if (!*earlier) return take_new(line, false);
  const Result<bool> counts = still_counts(line, **earlier);
  if (!counts) return counts.status();
  return *counts ? Status() : take_new(line, true);
}

Result<DataValue> value_of(const InputLine& line) {
  if (line.is_too_long) {
    return Status(Cause::limit,
                  "the line is longer than " + std::to_string(kMaxLineBytes >> 20) + " MiB");
  }
  if (line.text.find_first_not_of(" \t") == std::string::npos)
    return Status(Cause::truncated, "the line is empty");
  return formats::parse_json(line.text);
}

// Lines of other shards are read for their ids: which of two lines with one id counts is the same
// however the input is cut.
Status LineJob::take_new(const InputLine& line, bool is_redone) {
  Result<DataValue> value = value_of(line);
  DataValue id = value ? id_of(*value) : DataValue();
  const bool has_id = id.kind != DataValue::Kind::null;
  const Digest id_digest = has_id ? digest_of(to_json(id)) : Digest{};
  const Result<bool> is_new_id = is_new(id_digest);
  if (!is_new_id) return is_new_id.status();
  if (!options_.shard.has(line.number)) return {};
  const UnderWay origin = {line.digest, id_digest, watch_.seconds(), is_redone};
  progress_.work_begins(position());
  Status why = value.status();
  if (why.ok() && value->kind != DataValue::Kind::dict) {
    why = Status(Cause::value_type, "the line is no JSON object");
  } else if (why.ok() && !*is_new_id) {
    why = Status(Cause::duplicate_key, "an earlier line has the same id");
  }
  if (!why.ok()) {
    record({line.number, worker_.error_record(line.number, id, why), true}, origin);
    return {};
  }
  under_way_[line.number] = origin;
  worker_.take({line.number, std::move(*value), std::move(id)});
  return {};
}

void LineJob::record(FinishedLine finished, const UnderWay& origin) {
  // A record that the journal cannot hold is not worth losing the others.
  if (finished.record.size() + sizeof(JournalEntry) > kMaxJournalPayload) {
    const Status why(Cause::limit, "the result is larger than a journal's record may be");
    finished.record = worker_.error_record(finished.number, {}, why);
    finished.has_failed = true;
  }
  const double now = watch_.seconds();
  JournalEntry entry;
  entry.line = finished.number;
  entry.line_digest = origin.line;
  entry.id_digest = origin.id;
  entry.at_ms = earlier_ms_ + static_cast<uint64_t>(now * 1e3);
  entry.took_ms = static_cast<uint32_t>((now - origin.taken_at) * 1e3);
  entry.n_prompt = static_cast<uint32_t>(finished.n_prompt);
  entry.n_predicted = static_cast<uint32_t>(finished.n_predicted);
  entry.has_failed = finished.has_failed ? 1 : 0;
  entry.is_redone = origin.is_redone ? 1 : 0;
  entry.score = finished.score;
  records_->add(entry, finished.record);
  ++n_done_;
  n_failed_ += entry.has_failed;
  n_tokens_ += finished.n_prompt + finished.n_predicted;
}

Status LineJob::step() {
  std::vector<FinishedLine> finished;
  const Status stepped = worker_.step(finished);
  for (FinishedLine& line : finished) {
    const auto origin = under_way_.find(line.number);
    if (origin == under_way_.end()) continue;
    record(std::move(line), origin->second);
    under_way_.erase(origin);
  }
  const Status written = records_->write();
  const bool has_stopped = stepped.cause() == Cause::cancelled && is_ending();
  return stepped.ok() || has_stopped ? written : stepped;
}

Status LineJob::work() {
  for (;;) {
    if (Status s = take_lines(); !s.ok()) return s;
    if (records_->has_lost_reader() || is_ending()) return {};
    if (!worker_.has_work()) {
      if (has_input_ended_) return {};
      if (Status s = records_->write(); !s.ok()) return s;
      continue;
    }
    if (Status s = step(); !s.ok()) return s;
    progress_.update(position());
  }
}

ExitCode LineJob::stop() {
  const Status kept = records_->keep();
  if (!kept.ok()) return fail(kept);
  if (records_->journal() != nullptr) {
    progress_.say(std::to_string(n_done_) + " lines are done and kept in " +
                  records_->journal()->path() + "; the same command goes on from there" +
                  (under_way_.empty()
                       ? ""
                       : ", with " + std::to_string(under_way_.size()) + " that were under way"));
  }
  progress_.event("interrupted", {{"lines", n_done_}, {"failed", n_failed_}});
  return is_terminated() ? kTerminated : kInterrupted;
}

Status LineJob::write_report(const JobReport& report, const JobFacts& facts) const {
  if (options_.report.empty()) return {};
  Result<Output> file = Output::open(options_.report, options_.in_use);
  if (!file) return file.status();
  file->write(options_.report.ends_with(".html") ? report.to_html(facts)
                                                 : to_json(report.to_data(facts)) + "\n");
  return file->finish();
}

void LineJob::tell_end(const JobReport& report, const JobFacts& facts) {
  if (output_.is_json) {
    if (options_.output == "-") return progress_.event("end", report.to_data(facts).dict);
    Output out = Output::standard();
    out.write(to_json(report.to_data(facts)) + "\n");
    return;
  }
  std::string text = counted(static_cast<int64_t>(report.n_lines()), "line");
  if (report.n_failed() > 0) {
    text += ", " + std::to_string(report.n_failed()) + " of them failed" +
            (options_.errors.empty() ? "" : ", see " + options_.errors) +
            (options_.retries_errors ? "; the same command does them again, as they then are" : "");
  }
  char speed[80];
  std::snprintf(speed, sizeof speed, "; %lld tokens in %.1f s, %.1f tokens/s",
                static_cast<long long>(report.n_tokens()), report.seconds(),
                report.tokens_per_second());
  progress_.say(text + speed);
}

ExitCode LineJob::finish() {
  JobReport report;
  if (Status s = records_->finish(report); !s.ok()) return fail(s);
  if (records_->has_lost_reader()) return kOk;
  const JobFacts facts = {command(), identity_, n_resumed_};
  if (Status s = write_report(report, facts); !s.ok()) return fail(s);
  const bool waits_for_retry = options_.retries_errors && report.n_failed() > 0;
  if (!waits_for_retry) {
    if (Status s = records_->forget(); !s.ok()) return fail(s);
  }
  tell_end(report, facts);
  return report.n_failed() > 0 ? kSomeFailed : kOk;
}

ExitCode LineJob::run() {
  if (Status s = open(); !s.ok()) return fail(s);
  end_at_second_signal();
  tell_start();
  const Status worked = work();
  if (!worked.ok()) {
    // The first error tells why; what can be kept all the same is.
    (void)records_->keep().ok();
    return fail(worked);
  }
  const bool is_complete = has_input_ended_ && under_way_.empty();
  return is_complete || records_->has_lost_reader() ? finish() : stop();
}

}  // namespace

ExitCode run_line_job(LineWorker& worker, const DataValue& identity, const JobOptions& options,
                      const OutputOptions& output) {
  return LineJob(worker, identity, options, output).run();
}

}  // namespace larder::apps
