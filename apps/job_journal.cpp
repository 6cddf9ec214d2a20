#include "apps/job_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;

constexpr std::string_view kMagic = "larder journal 1\n";
constexpr auto kSyncEvery = std::chrono::seconds(1);

// "settings.seed: the journal has 1, this run 2": the first place where two values differ.
std::string difference(const DataValue& old, const DataValue& now, const std::string& place) {
  if (old.kind == DataValue::Kind::dict && now.kind == DataValue::Kind::dict) {
    const auto below = [&](const std::string& name) {
      return place.empty() ? name : place + "." + name;
    };
    static const DataValue kNone;
    for (const auto& [name, value] : now.dict) {
      const DataValue* const other = old.find(name);
      const std::string found = difference(other ? *other : kNone, value, below(name));
      if (!found.empty()) return found;
    }
    for (const auto& [name, value] : old.dict) {
      if (now.find(name) == nullptr) return difference(value, kNone, below(name));
    }
    return {};
  }
  const std::string a = to_json(old), b = to_json(now);
  if (a == b) return {};
  return place + ": it was " + a.substr(0, 80) + ", and is " + b.substr(0, 80);
}

}  // namespace

Result<Journal> Journal::open(const std::string& path, const DataValue& identity, bool restarts) {
  Result<Journal> journal = open_locked(path);
  if (!journal) return journal;
  if (Status s = journal->recover(identity, restarts); !s.ok()) return s;
  return journal;
}

// A journal that its owner has removed meanwhile is another file's name already.
Result<Journal> Journal::open_locked(const std::string& path) {
  for (;;) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    Journal journal(descriptor, path);
    if (descriptor < 0) return journal.error("cannot be opened");
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return journal.error("cannot be locked");
      return Status(Cause::io, "another process works on this job; wait for it, or end it")
          .with_file(path);
    }
    struct stat opened {
    }, named{};
    if (fstat(descriptor, &opened) != 0) return journal.error("cannot be opened");
    if (!S_ISREG(opened.st_mode)) {
      return Status(Cause::io, "is no regular file; the journal must be one").with_file(path);
    }
    if (stat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
        named.st_dev == opened.st_dev) {
      return journal;
    }
  }
}

Journal::Journal(Journal&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      pending_(std::move(other.pending_)),
      first_entry_(other.first_entry_),
      end_(other.end_),
      cut_bytes_(other.cut_bytes_),
      working_ms_(other.working_ms_),
      n_found_(other.n_found_),
      redone_(std::move(other.redone_)),
      is_synced_(other.is_synced_),
      synced_at_(other.synced_at_) {}

Journal::~Journal() {
  if (descriptor_ >= 0) close(descriptor_);  // gives the lock back
}

Status Journal::error(const char* what) const {
  const int code = errno;
  std::string message = std::string(what) + ": " + std::strerror(code);
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
    message += "; all that is done so far is kept: make room and run the same command again";
  }
  return Status(Cause::io, std::move(message)).with_file(path_);
}

Status Journal::read_at(uint64_t offset, char* bytes, size_t n) const {
  while (n > 0) {
    const ssize_t got = pread(descriptor_, bytes, n, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error("cannot be read");
    if (got == 0) return Status(Cause::truncated, "was cut short while in use").with_file(path_);
    bytes += got;
    offset += static_cast<uint64_t>(got);
    n -= static_cast<size_t>(got);
  }
  return {};
}

// All or nothing: of what could not be written whole, nothing stays.
Status Journal::append(std::string_view bytes) {
  uint64_t at = end_;
  while (!bytes.empty()) {
    const ssize_t n = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const Status failed = error("cannot be written");
      (void)!ftruncate(descriptor_, static_cast<off_t>(end_));
      return failed;
    }
    at += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  end_ = at;
  is_synced_ = false;
  return {};
}

Status Journal::begin(const DataValue& identity) {
  if (ftruncate(descriptor_, 0) != 0) return error("cannot be begun");
  end_ = n_found_ = 0;
  working_ms_ = cut_bytes_ = 0;
  redone_.clear();
  std::string bytes(kMagic);
  append_record(bytes, to_json(identity));
  if (Status s = append(bytes); !s.ok()) return s;
  first_entry_ = end_;
  return sync();
}

// Whether the file begins as ours do. A beginning that was torn by a crash (the rest missing, or
// zeros) is an empty one of ours.
Result<bool> Journal::has_magic() {
  struct stat info {};
  if (fstat(descriptor_, &info) != 0) return error("cannot be read");
  std::string head(std::min<size_t>(kMagic.size(), static_cast<size_t>(info.st_size)), '\0');
  if (Status s = read_at(0, head.data(), head.size()); !s.ok()) return s;
  if (head == kMagic) return true;
  size_t same = 0;
  while (same < head.size() && head[same] == kMagic[same]) ++same;
  if (head.find_first_not_of('\0', same) == std::string::npos) return false;
  return Status(Cause::magic, "is no journal of larder; it is left as it is").with_file(path_);
}

// The payload of the record at `offset`; nullopt where there is none that is whole.
Result<std::optional<std::string>> Journal::whole_record(uint64_t offset, uint64_t size) const {
  using Payload = std::optional<std::string>;
  if (size - offset < kFrameBytes) return Payload();
  char raw[kFrameBytes];
  if (Status s = read_at(offset, raw, sizeof raw); !s.ok()) return s;
  const auto frame = read_raw<JournalFrame>(raw);
  const uint32_t length = frame.length;
  if (length == 0 || length > kMaxJournalPayload || length > size - offset - kFrameBytes) {
    return Payload();
  }
  std::string payload(length, '\0');
  if (Status s = read_at(offset + kFrameBytes, payload.data(), length); !s.ok()) return s;
  if (frame_of(payload).checksum != frame.checksum) return Payload();
  return Payload(std::move(payload));
}

// The first record is on the disk before any other is written: behind a torn one is nothing.
Status Journal::begin_torn(const DataValue& identity, uint64_t size) {
  if (size <= kMagic.size() + kFrameBytes + to_json(identity).size()) return begin(identity);
  return Status(Cause::magic,
                "its beginning is damaged; what else it holds is left as it is: --restart throws "
                "it away")
      .with_file(path_);
}

// An entry that takes an earlier one's place; `offset`: of its record, of so many bytes of payload.
void Journal::note(const JournalEntry& entry, uint64_t offset, uint32_t payload_bytes) {
  if (entry.is_redone == 0) return;
  redone_[entry.line] = {entry, offset + kFrameBytes + sizeof entry,
                         payload_bytes - static_cast<uint32_t>(sizeof entry)};
}

StoredEntry Journal::latest(const StoredEntry& stored) const {
  const auto redone = redone_.find(stored.entry.line);
  return redone == redone_.end() ? stored : redone->second;
}

Status Journal::recover(const DataValue& identity, bool restarts) {
  const Result<bool> is_begun = has_magic();
  if (!is_begun) return is_begun.status();
  if (restarts || !*is_begun) return begin(identity);
  struct stat info {};
  if (fstat(descriptor_, &info) != 0) return error("cannot be read");
  const auto size = static_cast<uint64_t>(info.st_size);
  end_ = kMagic.size();
  Result<std::optional<std::string>> payload = whole_record(end_, size);
  if (!payload) return payload.status();
  if (!*payload) return begin_torn(identity, size);
  const Result<DataValue> old = formats::parse_json(**payload);
  const std::string differs =
      old ? difference(*old, identity, {}) : std::string("what it holds cannot be read");
  if (!differs.empty()) {
    return Status(Cause::invalid_argument, "an earlier run of this job was another one: " +
                                               differs + "; --restart throws away what it has done")
        .with_file(path_);
  }
  end_ += kFrameBytes + (*payload)->size();
  first_entry_ = end_;
  for (;;) {
    payload = whole_record(end_, size);
    if (!payload) return payload.status();
    if (!*payload || (*payload)->size() < sizeof(JournalEntry)) break;
    const auto entry = read_raw<JournalEntry>((*payload)->data());
    working_ms_ = std::max(working_ms_, entry.at_ms);
    note(entry, end_, static_cast<uint32_t>((*payload)->size()));
    n_found_ += entry.is_redone != 0 ? 0 : 1;
    end_ += kFrameBytes + (*payload)->size();
  }
  cut_bytes_ = size - end_;
  if (cut_bytes_ > 0 && ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) {
    return error("cannot be cut behind its last whole record");
  }
  return {};
}

void Journal::add(const JournalEntry& entry, std::string_view text) {
  std::string payload;
  payload.reserve(sizeof entry + text.size());
  append_raw(payload, entry);
  payload += text;
  note(entry, end_ + pending_.size(), static_cast<uint32_t>(payload.size()));
  append_record(pending_, payload);
}

Status Journal::write() {
  if (!pending_.empty()) {
    const Status s = append(pending_);
    pending_.clear();
    if (!s.ok()) return s;
  }
  const bool is_due = std::chrono::steady_clock::now() - synced_at_ >= kSyncEvery;
  return is_due ? sync() : Status();
}

Status Journal::sync() {
  if (!is_synced_ && fdatasync(descriptor_) != 0) return error("cannot be brought to the disk");
  is_synced_ = true;
  synced_at_ = std::chrono::steady_clock::now();
  return {};
}

Status Journal::remove() {
  if (unlink(path_.c_str()) != 0) return error("cannot be removed");
  return {};
}

Result<std::optional<StoredEntry>> Journal::next(uint64_t& offset, uint64_t end) const {
  if (offset == 0) offset = first_entry_;
  while (offset < end) {
    char bytes[kFrameBytes + sizeof(JournalEntry)];
    if (Status s = read_at(offset, bytes, sizeof bytes); !s.ok()) return s;
    StoredEntry stored;
    stored.entry = read_raw<JournalEntry>(bytes + kFrameBytes);
    stored.text_offset = offset + sizeof bytes;
    const uint32_t length = read_raw<JournalFrame>(bytes).length;
    stored.text_bytes = length - static_cast<uint32_t>(sizeof(JournalEntry));
    offset += kFrameBytes + length;
    if (stored.entry.is_redone == 0) return std::optional<StoredEntry>(latest(stored));
  }
  return std::optional<StoredEntry>();
}

Status Journal::read_text(const StoredEntry& stored, std::string& text) const {
  text.resize(stored.text_bytes);
  return read_at(stored.text_offset, text.data(), text.size());
}

Status OrderedEntries::read_until(int64_t line) {
  while (!has_ended_ && (waiting_.empty() || waiting_.top().entry.line > line)) {
    const auto stored = journal_.next(offset_, end_);
    if (!stored) return stored.status();
    if (!*stored) {
      has_ended_ = true;
    } else if ((*stored)->entry.line > last_) {
      waiting_.push(**stored);
    }
  }
  return {};
}

Result<std::optional<StoredEntry>> OrderedEntries::find(int64_t line) {
  if (Status s = read_until(line); !s.ok()) return s;
  while (!waiting_.empty() && waiting_.top().entry.line < line) waiting_.pop();
  if (waiting_.empty() || waiting_.top().entry.line > line) return std::optional<StoredEntry>();
  return take_next(line);
}

Result<std::optional<StoredEntry>> OrderedEntries::take_next(int64_t expected) {
  if (Status s = read_until(expected); !s.ok()) return s;
  while (!waiting_.empty() && waiting_.top().entry.line <= last_) waiting_.pop();
  if (waiting_.empty()) return std::optional<StoredEntry>();
  const StoredEntry stored = waiting_.top();
  waiting_.pop();
  last_ = stored.entry.line;
  return std::optional<StoredEntry>(stored);
}

}  // namespace larder::apps
