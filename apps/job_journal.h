// What a job has done so far, in a file beside its output that survives the program's end, however
// it comes.
//
// Layout, little endian: a line with kMagic; then records, each
//   u32 length of the payload | u32 CRC-32C of length and payload | payload.
// The first record's payload is JSON: what the results depend on. Every other one is a JournalEntry
// (fields in the order of the struct) and the text of its record. Whole records only count: what
// follows the last of them is cut off when the journal is opened. Of a line's several entries the
// first counts; or, where later ones are redone, the last of these, in the place of the first.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "apps/digest.h"
#include "apps/journal_frame.h"
#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::apps {

struct JournalEntry {
  int64_t line = 0;       // of the input, from 1
  Digest line_digest{};   // of the line's bytes, without its end
  Digest id_digest{};     // all 0: the line has no id
  uint64_t at_ms = 0;     // of the job's working time, those of earlier runs included
  uint32_t took_ms = 0;   // from when the line was taken to when it was finished
  uint32_t n_prompt = 0;  // tokens
  uint32_t n_predicted = 0;
  uint16_t has_failed = 0;
  uint16_t is_redone = 0;  // it takes the place of an earlier entry of its line
  double score = std::numeric_limits<double>::quiet_NaN();
};
static_assert(sizeof(JournalEntry) == 8 + 16 + 16 + 8 + 3 * 4 + 2 * 2 + 8, "written as it is");

// An entry, and where its text is.
struct StoredEntry {
  JournalEntry entry;
  uint64_t text_offset = 0;
  uint32_t text_bytes = 0;
};

class Journal {
 public:
  // Opens or begins the journal and locks it until the end. `identity` is what results depend on;
  // a journal of another is refused, naming the difference (`invalid_argument`), unless `restarts`,
  // which throws away what is there. Errors: `io`, also where another process holds it; `magic`
  // where the file is none of ours, or its beginning is damaged.
  static Result<Journal> open(const std::string& path, const formats::DataValue& identity,
                              bool restarts);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  // Kept in memory until write(). REQUIRES: the text fits kMaxJournalPayload with its entry.
  void add(const JournalEntry& entry, std::string_view text);
  // Hands what was added to the system, where it survives this program; and, once a second, to the
  // disk, where it survives the machine. An error leaves the records that were whole before.
  Status write();
  Status sync();
  Status remove();

  int64_t n_found() const noexcept { return n_found_; }         // lines that earlier runs have done
  uint64_t working_ms() const noexcept { return working_ms_; }  // of the last of them
  uint64_t cut_bytes() const noexcept { return cut_bytes_; }    // damaged or torn, not used
  uint64_t end() const noexcept { return end_; }                // of the last whole record
  const std::string& path() const noexcept { return path_; }

  // The entry behind `offset`, which moves on; nullopt at `end`. Offset 0 is the first. Redone ones
  // come in the place of the first of their line.
  Result<std::optional<StoredEntry>> next(uint64_t& offset, uint64_t end) const;
  Status read_text(const StoredEntry& stored, std::string& text) const;

 private:
  Journal(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  static Result<Journal> open_locked(const std::string& path);
  Status begin(const formats::DataValue& identity);
  Status begin_torn(const formats::DataValue& identity, uint64_t size);
  Status recover(const formats::DataValue& identity, bool restarts);
  Result<bool> has_magic();
  Result<std::optional<std::string>> whole_record(uint64_t offset, uint64_t size) const;
  void note(const JournalEntry& entry, uint64_t offset, uint32_t payload_bytes);
  StoredEntry latest(const StoredEntry& stored) const;
  Status append(std::string_view bytes);
  Status read_at(uint64_t offset, char* bytes, size_t n) const;
  Status error(const char* what) const;

  int descriptor_;
  std::string path_;
  std::string pending_;
  uint64_t first_entry_ = 0, end_ = 0, cut_bytes_ = 0, working_ms_ = 0;
  int64_t n_found_ = 0;
  std::map<int64_t, StoredEntry> redone_;  // by line
  bool is_synced_ = true;
  std::chrono::steady_clock::time_point synced_at_ = std::chrono::steady_clock::now();
};

// The entries of a journal in the order of their lines; of a line's several, the first. Holds those
// that wait for an earlier line: as many as lines were under way at once.
class OrderedEntries {
 public:
  // As far as the journal goes now. The journal must outlive this.
  explicit OrderedEntries(const Journal& journal) : journal_(journal), end_(journal.end()) {}

  // The line's entry, if there is one. Lines are asked for in ascending order.
  Result<std::optional<StoredEntry>> find(int64_t line);
  // The next one there is. `expected`: a line that is not beyond it.
  Result<std::optional<StoredEntry>> take_next(int64_t expected);

 private:
  struct Later {
    bool operator()(const StoredEntry& a, const StoredEntry& b) const noexcept {
      return a.entry.line != b.entry.line ? a.entry.line > b.entry.line
                                          : a.text_offset > b.text_offset;
    }
  };
  Status read_until(int64_t line);

  const Journal& journal_;
  uint64_t offset_ = 0, end_;
  bool has_ended_ = false;
  int64_t last_ = 0;  // line handed out last
  std::priority_queue<StoredEntry, std::vector<StoredEntry>, Later> waiting_;
};

}  // namespace larder::apps
