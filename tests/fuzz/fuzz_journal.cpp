// A journal in memory: any bytes; or records that are whole, of any payload, with damage where the
// input says so. What is recovered can be read, in both orders, and is recovered again.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "apps/job_journal.h"
#include "apps/journal_frame.h"
#include "formats/json/json.h"

namespace {

using namespace larder::apps;
using larder::formats::DataValue;

void require(bool claim) {
  if (!claim) __builtin_trap();
}

const DataValue& identity() {
  static const DataValue kIdentity =
      DataValue::make_dict({{"command", "fuzz"}, {"settings", DataValue::make_dict({{"n", 1}})}});
  return kIdentity;
}

// Cuts pieces off the front of the input; nothing once it is used up.
std::string_view take(std::string_view& rest, size_t n) {
  const std::string_view piece = rest.substr(0, n);
  rest.remove_prefix(piece.size());
  return piece;
}

size_t take_byte(std::string_view& rest) {
  const std::string_view byte = take(rest, 1);
  return byte.empty() ? 0 : static_cast<uint8_t>(byte[0]);
}

// Lines are small numbers, so that several entries meet on one.
std::string entry_payload(std::string_view& rest) {
  JournalEntry entry;
  entry.line = static_cast<int64_t>(take_byte(rest) % 16) - 1;
  const size_t flags = take_byte(rest);
  entry.has_failed = flags & 1;
  entry.is_redone = flags >> 1 & 1;
  std::string payload;
  append_raw(payload, entry);
  payload += take(rest, flags >> 2);
  return payload;
}

std::string journal_of(std::string_view rest) {
  const size_t kind = take_byte(rest) % 4;
  if (kind == 0) return std::string(rest);
  std::string bytes = "larder journal 1\n";
  if (kind == 1) {
    append_record(bytes, take(rest, take_byte(rest)));  // another identity, or none at all
  } else {
    append_record(bytes, larder::formats::to_json(identity()));
  }
  std::string_view damage = kind == 3 ? take(rest, 3) : std::string_view();
  while (!rest.empty()) {
    const bool is_entry = take_byte(rest) % 8 != 0;
    append_record(bytes, is_entry ? entry_payload(rest) : take(rest, take_byte(rest)));
  }
  if (damage.size() == 3) {
    const size_t at =
        static_cast<uint8_t>(damage[0]) + (size_t{static_cast<uint8_t>(damage[1])} << 8);
    bytes[at % bytes.size()] ^= damage[2];
  }
  return bytes;
}

std::string content(int descriptor) {
  std::string bytes(static_cast<size_t>(lseek(descriptor, 0, SEEK_END)), '\0');
  require(pread(descriptor, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return bytes;
}

// Each line once, in ascending order, with a text that can be read.
void check_order(const Journal& journal) {
  OrderedEntries entries(journal);
  std::string text;
  for (int64_t last = 0;;) {
    const auto stored = entries.take_next(last + 1);
    require(stored.ok());
    if (!*stored) break;
    require((*stored)->entry.line > last);
    require(journal.read_text(**stored, text).ok());
    last = (*stored)->entry.line;
  }
  OrderedEntries found(journal);
  for (int64_t line = 1; line < 16; ++line) {
    const auto stored = found.find(line);
    require(stored.ok());
    require(!*stored || (*stored)->entry.line == line);
  }
}

int64_t n_entries(const Journal& journal) {
  std::string text;
  int64_t n = 0;
  for (uint64_t offset = 0;; ++n) {
    const auto stored = journal.next(offset, journal.end());
    require(stored.ok());
    if (!*stored) return n;
    require(journal.read_text(**stored, text).ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int kFile = memfd_create("journal", MFD_CLOEXEC);
  static const std::string kPath = "/proc/self/fd/" + std::to_string(kFile);
  const std::string bytes = journal_of({reinterpret_cast<const char*>(data), size});
  require(ftruncate(kFile, 0) == 0);
  require(pwrite(kFile, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));

  uint64_t end = 0;
  {
    larder::Result<Journal> journal = Journal::open(kPath, identity(), false);
    if (!journal.ok()) {
      require(!journal.status().to_string().empty());
      require(content(kFile) == bytes);  // what is refused is left as it is
      return 0;
    }
    require(journal->n_found() == n_entries(*journal));
    check_order(*journal);
    JournalEntry entry;
    entry.line = 1;
    entry.is_redone = size % 2;
    journal->add(entry, "added");
    require(journal->write().ok());
    check_order(*journal);
    end = journal->end();
  }
  larder::Result<Journal> again = Journal::open(kPath, identity(), false);
  require(again.ok());
  require(again->end() == end);
  require(again->cut_bytes() == 0);
  check_order(*again);
  return 0;
}
