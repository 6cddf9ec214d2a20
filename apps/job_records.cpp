#include "apps/job_records.h"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "apps/output.h"

namespace larder::apps {
namespace {

using formats::DataValue;

constexpr size_t kBufferBytes = size_t{1} << 20;

// An output and the file of errors, if there is one; written in pieces.
class RecordFiles {
 public:
  RecordFiles(Output output, std::optional<Output> errors)
      : output_(std::move(output)), errors_(std::move(errors)) {}

  void add(bool has_failed, std::string_view text) {
    const bool is_error = has_failed && errors_;
    std::string& buffer = is_error ? errors_buffer_ : output_buffer_;
    buffer += text;
    buffer += '\n';
    if (buffer.size() >= kBufferBytes) write(is_error);
  }
  bool write() {
    write(false);
    if (errors_) write(true);
    return !has_failed_;
  }
  bool has_failed() const noexcept { return has_failed_; }
  bool has_lost_reader() const noexcept { return output_.has_lost_reader(); }
  // The errors first: where the output stands, all stands.
  Status finish() {
    write();
    if (errors_) {
      if (Status s = errors_->finish(); !s.ok()) return s;
    }
    return output_.finish();
  }

 private:
  void write(bool is_error) {
    std::string& buffer = is_error ? errors_buffer_ : output_buffer_;
    has_failed_ |= !(is_error ? *errors_ : output_).write(buffer);
    buffer.clear();
  }
  Output output_;
  std::optional<Output> errors_;
  std::string output_buffer_, errors_buffer_;
  bool has_failed_ = false;
};

Result<RecordFiles> open_files(const JobOptions& options) {
  std::vector<std::string> in_use = options.in_use;
  in_use.push_back(options.input);
  std::optional<Output> errors;
  if (!options.errors.empty()) {
    Result<Output> opened = Output::open_alone(options.errors, in_use);
    if (!opened) return opened.status();
    errors.emplace(std::move(*opened));
    in_use.push_back(options.errors);
  }
  Result<Output> output = Output::open_alone(options.output, in_use);
  if (!output) return output.status();
  return RecordFiles(std::move(*output), std::move(errors));
}

// Streams: no journal.
class StreamedRecords : public JobRecords {
 public:
  StreamedRecords(RecordFiles files, const JobOptions& options)
      : files_(std::move(files)), options_(options), next_(options.shard.index) {}

  Result<std::optional<JournalEntry>> find(int64_t) override {
    return std::optional<JournalEntry>();
  }
  Result<bool> has_more() override { return false; }

  void add(const JournalEntry& entry, std::string_view text) override {
    report_.add(entry, text);
    if (options_.is_as_completed) return files_.add(entry.has_failed != 0, text);
    held_bytes_ += text.size();
    waiting_[entry.line] = {entry.has_failed != 0, std::string(text)};
    while (!waiting_.empty() && waiting_.begin()->first == next_) {
      const auto& [has_failed, first] = waiting_.begin()->second;
      files_.add(has_failed, first);
      held_bytes_ -= first.size();
      waiting_.erase(waiting_.begin());
      next_ += options_.shard.count;
    }
  }

  Status write() override {
    if (files_.write() || files_.has_lost_reader()) return {};
    return files_.finish();
  }
  Status keep() override { return files_.finish(); }
  Status finish(JobReport& report) override {
    report = std::move(report_);
    return files_.finish();
  }
  Status forget() override { return {}; }
  const Journal* journal() const noexcept override { return nullptr; }
  size_t held_bytes() const noexcept override { return held_bytes_; }
  bool has_lost_reader() const noexcept override { return files_.has_lost_reader(); }

 private:
  RecordFiles files_;
  const JobOptions& options_;
  JobReport report_;
  int64_t next_;  // line whose record is written next
  std::map<int64_t, std::pair<bool, std::string>> waiting_;
  size_t held_bytes_ = 0;
};

// Lines that have come: all up to one, and some behind it.
class LineSet {
 public:
  explicit LineSet(const Shard& shard) : next_(shard.index), step_(shard.count) {}
  // Whether it is new.
  bool insert(int64_t line) {
    if (line < next_ || !behind_.insert(line).second) return false;
    while (!behind_.empty() && *behind_.begin() == next_) {
      behind_.erase(behind_.begin());
      next_ += step_;
    }
    return true;
  }

 private:
  int64_t next_, step_;
  std::set<int64_t> behind_;
};

// Files: all goes to the journal, and from there to its place when all lines are done.
class JournaledRecords : public JobRecords {
 public:
  JournaledRecords(Journal journal, const JobOptions& options)
      : journal_(std::move(journal)), earlier_(journal_), options_(options) {}

  Result<std::optional<JournalEntry>> find(int64_t line) override {
    const auto stored = earlier_.find(line);
    if (!stored) return stored.status();
    if (!*stored) return std::optional<JournalEntry>();
    return std::optional<JournalEntry>((*stored)->entry);
  }
  Result<bool> has_more() override {
    const auto stored = earlier_.take_next(std::numeric_limits<int64_t>::max());
    if (!stored) return stored.status();
    return stored->has_value();
  }
  void add(const JournalEntry& entry, std::string_view text) override { journal_.add(entry, text); }
  Status write() override { return journal_.write(); }
  Status keep() override {
    if (Status s = journal_.write(); !s.ok()) return s;
    return journal_.sync();
  }

  Status finish(JobReport& report) override {
    if (Status s = keep(); !s.ok()) return s;
    const Status s = assemble(report);
    if (s.ok()) return s;
    const ErrorDetail& detail = s.detail();
    return Status(s.cause(), detail.message + "; all results are kept in " + journal_.path() +
                                 ": mend this and run the same command again")
        .with_file(detail.file);
  }
  Status forget() override { return journal_.remove(); }
  const Journal* journal() const noexcept override { return &journal_; }
  size_t held_bytes() const noexcept override { return 0; }
  bool has_lost_reader() const noexcept override { return false; }

 private:
  Status assemble(JobReport& report) {
    Result<RecordFiles> files = open_files(options_);
    if (!files) return files.status();
    const Status s = options_.is_as_completed ? assemble_as_completed(*files, report)
                                              : assemble_in_order(*files, report);
    return s.ok() ? files->finish() : s;
  }

  Status add_stored(const StoredEntry& stored, RecordFiles& files, JobReport& report) {
    if (Status s = journal_.read_text(stored, text_); !s.ok()) return s;
    report.add(stored.entry, text_);
    files.add(stored.entry.has_failed != 0, text_);
    return files.has_failed() ? files.finish() : Status();
  }

  Status assemble_in_order(RecordFiles& files, JobReport& report) {
    OrderedEntries entries(journal_);
    for (int64_t line = options_.shard.index;; line += options_.shard.count) {
      const auto stored = entries.take_next(line);
      if (!stored) return stored.status();
      if (!*stored) return {};
      if (Status s = add_stored(**stored, files, report); !s.ok()) return s;
    }
  }

  Status assemble_as_completed(RecordFiles& files, JobReport& report) {
    LineSet seen(options_.shard);
    for (uint64_t offset = 0;;) {
      const auto stored = journal_.next(offset, journal_.end());
      if (!stored) return stored.status();
      if (!*stored) return {};
      if (!seen.insert((*stored)->entry.line)) continue;
      if (Status s = add_stored(**stored, files, report); !s.ok()) return s;
    }
  }

  Journal journal_;
  OrderedEntries earlier_;
  const JobOptions& options_;
  std::string text_;
};

bool is_there(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0;
}

bool can_have_journal(const std::string& path) {
  struct stat info {};
  return path != "-" && (stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode));
}

// Beside the output itself, under whatever link it is named: who writes there holds the journal.
std::string journal_path(const std::string& output) {
  std::error_code none;
  const bool is_link = std::filesystem::is_symlink(output, none);
  const std::filesystem::path target = std::filesystem::weakly_canonical(output, none);
  return (is_link && !target.empty() ? target.string() : output) + ".journal";
}

// All that can be known before any work.
Status check_places(const JobOptions& options, const std::string& journal) {
  std::vector<std::string> in_use = options.in_use;
  in_use.push_back(options.input);
  const bool has_journal = can_have_journal(options.output);
  if (has_journal) {
    // None but this is told of the journal here: it has errors of its own.
    const Status s = Output::check(journal, in_use);
    if (s.cause() == Cause::invalid_argument) return s;
  }
  for (const std::string* const place : {&options.output, &options.errors, &options.report}) {
    if (place->empty() && place != &options.output) continue;
    if (Status s = Output::check_alone(*place, in_use); !s.ok()) return s;
    in_use.push_back(*place);
  }
  return Output::check_apart(std::vector{has_journal ? journal : std::string(), options.output,
                                         options.errors, options.report});
}

}  // namespace

Result<std::unique_ptr<JobRecords>> JobRecords::open(const JobOptions& options,
                                                     const DataValue& identity) {
  using Opened = Result<std::unique_ptr<JobRecords>>;
  const std::string path = journal_path(options.output);
  if (Status s = check_places(options, path); !s.ok()) return s;
  if (options.retries_errors && is_there(options.output) && !is_there(path)) {
    return Status(Cause::invalid_argument,
                  "no journal tells which of its lines have failed; without --retry-errors all "
                  "lines are done again")
        .with_file(options.output);
  }
  if (!can_have_journal(options.output)) {
    Result<RecordFiles> files = open_files(options);
    if (!files) return files.status();
    return Opened(std::make_unique<StreamedRecords>(std::move(*files), options));
  }
  Result<Journal> journal = Journal::open(path, identity, options.is_restart);
  if (!journal) return journal.status();
  return Opened(std::make_unique<JournaledRecords>(std::move(*journal), options));
}

}  // namespace larder::apps
