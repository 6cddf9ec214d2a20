#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "apps/job_ids.h"
#include "apps/job_input.h"
#include "apps/job_journal.h"
#include "apps/job_report.h"
#include "tests/larder_program.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using tests::content;
using tests::has;
using tests::TemporaryFolder;

const DataValue kIdentity =
    DataValue::make_dict({{"command", "test"}, {"settings", DataValue::make_dict({{"seed", 1}})}});

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

Result<Journal> open(const std::string& path) { return Journal::open(path, kIdentity, false); }

JournalEntry entry_of(int64_t line) {
  JournalEntry entry;
  entry.line = line;
  entry.line_digest = digest_of("line " + std::to_string(line));
  entry.at_ms = static_cast<uint64_t>(line) * 10;
  return entry;
}

// Adds lines with the text "record <line>".
void add(Journal& journal, const std::vector<int64_t>& lines) {
  for (const int64_t line : lines) {
    journal.add(entry_of(line), "record " + std::to_string(line));
    REQUIRE(journal.write().ok());
  }
}

// The lines in order, with their texts checked.
std::vector<int64_t> ordered(const Journal& journal) {
  std::vector<int64_t> lines;
  OrderedEntries entries(journal);
  for (int64_t expected = 1;; ++expected) {
    const auto stored = entries.take_next(expected);
    REQUIRE(stored.ok());
    if (!*stored) return lines;
    std::string text;
    REQUIRE(journal.read_text(**stored, text).ok());
    CHECK(text == "record " + std::to_string((*stored)->entry.line));
    lines.push_back((*stored)->entry.line);
  }
}

struct FilledJournal {
  TemporaryFolder folder;
  std::string path = folder.path() + "/out.journal";
  std::vector<size_t> ends;  // of the file after each record

  explicit FilledJournal(const std::vector<int64_t>& lines) {
    Result<Journal> journal = open(path);
    REQUIRE(journal.ok());
    ends.push_back(std::filesystem::file_size(path));
    for (const int64_t line : lines) {
      add(*journal, {line});
      ends.push_back(std::filesystem::file_size(path));
    }
  }
};

TEST_CASE("journal: lines come back in order, the first of several entries counts") {
  FilledJournal filled({3, 1, 2, 2, 5, 4, 1, 9});
  const Result<Journal> journal = open(filled.path);
  REQUIRE(journal.ok());
  CHECK(journal->n_found() == 8);
  CHECK(journal->cut_bytes() == 0);
  CHECK(journal->working_ms() == 90);
  CHECK(ordered(*journal) == std::vector<int64_t>{1, 2, 3, 4, 5, 9});
}

TEST_CASE("journal: an entry done again takes the place of the first one of its line") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/out.journal";
  {
    Result<Journal> journal = open(path);
    REQUIRE(journal.ok());
    add(*journal, {2, 1, 3});
    for (const uint32_t n_prompt : {7U, 8U}) {
      JournalEntry again = entry_of(2);
      again.is_redone = 1;
      again.n_prompt = n_prompt;
      journal->add(again, "record 2");
      REQUIRE(journal->write().ok());
    }
    CHECK(ordered(*journal) == std::vector<int64_t>{1, 2, 3});
  }
  const Result<Journal> journal = open(path);
  REQUIRE(journal.ok());
  CHECK(journal->n_found() == 3);
  CHECK(ordered(*journal) == std::vector<int64_t>{1, 2, 3});
  uint64_t offset = 0;
  const auto first = journal->next(offset, journal->end());
  REQUIRE(first.ok());
  REQUIRE(first->has_value());
  CHECK((*first)->entry.line == 2);
  CHECK((*first)->entry.n_prompt == 8);
}

TEST_CASE("journal: a damaged beginning does not throw away the records behind it") {
  FilledJournal filled({1, 2, 3});
  std::string bytes = content(filled.path);
  bytes[30] ^= 1;
  write_file(filled.path, bytes);
  const Result<Journal> refused = open(filled.path);
  REQUIRE(!refused.ok());
  CHECK(has(refused.status().to_string(), "its beginning is damaged"));
  CHECK(content(filled.path) == bytes);
  CHECK(Journal::open(filled.path, kIdentity, true).ok());
}

TEST_CASE("journal: a line is found where it is, and not where it is missing") {
  FilledJournal filled({4, 1, 7, 2});
  const Result<Journal> journal = open(filled.path);
  REQUIRE(journal.ok());
  OrderedEntries entries(*journal);
  for (const int64_t line : {1, 2, 3, 4, 5, 6, 7, 8}) {
    const auto found = entries.find(line);
    REQUIRE(found.ok());
    const bool is_there = line == 1 || line == 2 || line == 4 || line == 7;
    CHECK(found->has_value() == is_there);
    if (*found) CHECK((*found)->entry.line_digest == entry_of(line).line_digest);
  }
}

TEST_CASE("journal: cut at every byte, it keeps the whole records before the cut") {
  FilledJournal filled({1, 2, 3});
  const std::string whole = content(filled.path);
  REQUIRE(whole.size() == filled.ends.back());
  for (size_t n = 0; n <= whole.size(); ++n) {
    CAPTURE(n);
    write_file(filled.path, whole.substr(0, n));
    Result<Journal> journal = open(filled.path);
    REQUIRE(journal.ok());
    std::vector<int64_t> kept;
    for (size_t i = 1; i < filled.ends.size(); ++i) {
      if (n >= filled.ends[i]) kept.push_back(static_cast<int64_t>(i));
    }
    CHECK(ordered(*journal) == kept);
    // and goes on behind them
    add(*journal, {4});
    kept.push_back(4);
    CHECK(ordered(*journal) == kept);
  }
}

TEST_CASE("journal: a flipped bit anywhere in the last record loses that record alone") {
  FilledJournal filled({1, 2, 3});
  const std::string whole = content(filled.path);
  for (size_t at = filled.ends[2]; at < whole.size(); ++at) {
    CAPTURE(at);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    write_file(filled.path, damaged);
    const Result<Journal> journal = open(filled.path);
    REQUIRE(journal.ok());
    CHECK(ordered(*journal) == std::vector<int64_t>{1, 2});
    CHECK(journal->cut_bytes() == whole.size() - filled.ends[2]);
  }
}

TEST_CASE("journal: zeros behind the last record, as a power cut leaves them, are cut off") {
  FilledJournal filled({1, 2});
  write_file(filled.path, content(filled.path) + std::string(5000, '\0'));
  const Result<Journal> journal = open(filled.path);
  REQUIRE(journal.ok());
  CHECK(ordered(*journal) == std::vector<int64_t>{1, 2});
  CHECK(journal->cut_bytes() == 5000);
  CHECK(std::filesystem::file_size(filled.path) == filled.ends.back());
}

TEST_CASE("journal: of another job it is refused, naming the difference, until it may restart") {
  FilledJournal filled({1, 2});
  const DataValue other = DataValue::make_dict(
      {{"command", "test"}, {"settings", DataValue::make_dict({{"seed", 2}})}});
  const Result<Journal> refused = Journal::open(filled.path, other, false);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().cause() == Cause::invalid_argument);
  CHECK(has(refused.status().to_string(), "settings.seed: it was 1, and is 2"));
  const DataValue less = DataValue::make_dict({{"command", "test"}});
  CHECK_FALSE(Journal::open(filled.path, less, false).ok());
  {
    const Result<Journal> journal = open(filled.path);
    REQUIRE(journal.ok());
    CHECK(journal->n_found() == 2);
  }
  const Result<Journal> anew = Journal::open(filled.path, other, true);
  REQUIRE(anew.ok());
  CHECK(anew->n_found() == 0);
}

TEST_CASE("journal: a file that is none of ours is left as it is, also by a restart") {
  TemporaryFolder folder;
  const std::string path = folder.file("out.journal", "my diary of 2019, with all my secrets\n");
  for (const bool restarts : {false, true}) {
    const Result<Journal> journal = Journal::open(path, kIdentity, restarts);
    REQUIRE_FALSE(journal.ok());
    CHECK(journal.status().cause() == Cause::magic);
  }
  CHECK(has(content(path), "secrets"));
}

TEST_CASE("journal: a second opening is refused while the first is there") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/out.journal";
  {
    const Result<Journal> first = open(path);
    REQUIRE(first.ok());
    const Result<Journal> second = open(path);
    REQUIRE_FALSE(second.ok());
    CHECK(has(second.status().to_string(), "another process"));
  }
  CHECK(open(path).ok());
}

TEST_CASE("table of ids: each of many is new once, whichever order they come in") {
  TemporaryFolder folder;
  Result<IdSet> ids = IdSet::create(folder.path());
  REQUIRE(ids.ok());
  CHECK(std::filesystem::is_empty(folder.path()));
  constexpr int kIds = 20000;  // so that pages are split several times
  for (int i = 0; i < kIds; ++i) {
    const Result<bool> is_new = ids->insert(digest_of(std::to_string(i)));
    REQUIRE(is_new.ok());
    REQUIRE(*is_new);
  }
  for (int i = kIds - 1; i >= 0; --i) {
    const Result<bool> is_new = ids->insert(digest_of(std::to_string(i)));
    REQUIRE(is_new.ok());
    REQUIRE_FALSE(*is_new);
  }
}

// All lines; one that is too long as "!<length of what is kept>".
std::vector<std::string> lines_of(const std::string& bytes, size_t max_bytes) {
  TemporaryFolder folder;
  Result<LineReader> reader = LineReader::open(folder.file("in", bytes), max_bytes);
  REQUIRE(reader.ok());
  std::vector<std::string> lines;
  InputLine line;
  for (;;) {
    const auto found = reader->next(line, true);
    REQUIRE(found.ok());
    if (*found == LineReader::Found::end) break;
    CHECK(line.number == static_cast<int64_t>(lines.size()) + 1);
    std::string text = line.is_too_long ? "!" : line.text;
    if (line.is_too_long) text += std::to_string(line.text.size());
    lines.push_back(text);
  }
  CHECK(reader->bytes_done() == bytes.size());
  return lines;
}

TEST_CASE("lines: ends, marks and the missing last end are no part of them") {
  using Lines = std::vector<std::string>;
  CHECK(lines_of("", 10) == Lines{});
  CHECK(lines_of("a\nb\n", 10) == Lines{"a", "b"});
  CHECK(lines_of("a\n\nb", 10) == Lines{"a", "", "b"});
  CHECK(lines_of("\xEF\xBB\xBF{}\r\n\xEF\xBB\xBFx\r\n", 10) == Lines{"{}", "\xEF\xBB\xBFx"});
  CHECK(lines_of("\n", 10) == Lines{""});
  CHECK(lines_of(std::string(10, 'a') + "\n" + std::string(11, 'b') + "\nc", 10) ==
        Lines{std::string(10, 'a'), "!11", "c"});
  const std::string big(3'000'000, 'x');  // longer than what is read at once
  CHECK(lines_of(big + "\nend", 4'000'000) == Lines{big, "end"});
  CHECK(lines_of(big + "\nend", 1000) == Lines{"!1001", "end"});
}

TEST_CASE("histogram: the bins do not depend on the order of the values") {
  Histogram up(1.0 / 1024, 16), down(1.0 / 1024, 16);
  for (int i = -300; i <= 700; ++i) up.add(i * 0.37);
  for (int i = 700; i >= -300; --i) down.add(i * 0.37);
  CHECK(up.width() == down.width());
  CHECK(up.bins() == down.bins());
  CHECK(up.bins().size() <= 16);
  CHECK(up.bins().size() > 8);
  double n = 0;
  for (const auto& [bin, weight] : up.bins()) n += weight;
  CHECK(n == 1001);
}

TEST_CASE("report: a page holds no mark-up of the ids that it names") {
  JobReport report;
  JournalEntry entry = entry_of(1);
  entry.score = -3;
  entry.took_ms = 5;
  report.add(entry, R"({"id": "<script>alert(1)</script>"})");
  const JobFacts facts = {"score", kIdentity, 0};
  const std::string page = report.to_html(facts);
  CHECK_FALSE(has(page, "<script"));
  CHECK(has(page, "&lt;script&gt;"));
  CHECK(report.to_data(facts).find("slowest")->list.at(0).find("id")->string ==
        "<script>alert(1)</script>");
}

}  // namespace
}  // namespace larder::apps
