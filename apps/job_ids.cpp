#include "apps/job_ids.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace larder::apps {
namespace {

// Slots are filled from the first on; one of zeros is free. Where the file ends, all are.
constexpr size_t kPageBytes = 4096;
constexpr size_t kSlotBytes = sizeof(Digest);
constexpr size_t kSlots = kPageBytes / kSlotBytes;
constexpr Digest kFree{};

using Page = std::array<uint8_t, kPageBytes>;

Digest slot_of(const Page& page, size_t slot) {
  Digest id;
  std::memcpy(id.data(), page.data() + slot * kSlotBytes, kSlotBytes);
  return id;
}

uint64_t hash_of(const Digest& id) {
  uint64_t hash;
  std::memcpy(&hash, id.data(), sizeof hash);
  return hash;
}

Status failed(const char* what) {
  return Status(Cause::io,
                std::string("the table of ids seen ") + what + ": " + std::strerror(errno));
}

}  // namespace

Result<IdSet> IdSet::create(const std::string& folder) {
  int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) {  // a file system that has no nameless files
    std::string name = folder + "/.larder-ids-XXXXXX";
    descriptor = mkostemp(name.data(), O_CLOEXEC);
    if (descriptor >= 0) unlink(name.c_str());
  }
  if (descriptor < 0) return failed("cannot be made").with_file(folder);
  return IdSet(descriptor);
}

IdSet::IdSet(IdSet&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), n_pages_(other.n_pages_) {}

IdSet::~IdSet() {
  if (descriptor_ >= 0) close(descriptor_);
}

Status IdSet::read_page(uint64_t page, uint8_t* bytes) const {
  size_t have = 0;
  while (have < kPageBytes) {
    const auto at = static_cast<off_t>(page * kPageBytes + have);
    const ssize_t n = pread(descriptor_, bytes + have, kPageBytes - have, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("cannot be read");
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  std::memset(bytes + have, 0, kPageBytes - have);
  return {};
}

Status IdSet::write(uint64_t offset, const uint8_t* bytes, size_t n) {
  while (n > 0) {
    const ssize_t done = pwrite(descriptor_, bytes, n, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return failed("cannot be written");
    bytes += done;
    offset += static_cast<uint64_t>(done);
    n -= static_cast<size_t>(done);
  }
  return {};
}

// Every page's ids go to it and to its twin, n_pages_ further on.
Status IdSet::double_pages() {
  for (uint64_t i = 0; i < n_pages_; ++i) {
    Page old, low{}, high{};
    if (Status s = read_page(i, old.data()); !s.ok()) return s;
    size_t n_low = 0, n_high = 0;
    for (size_t slot = 0; slot < kSlots; ++slot) {
      const Digest id = slot_of(old, slot);
      if (id == kFree) break;
      const bool is_high = (hash_of(id) & n_pages_) != 0;
      Page& page = is_high ? high : low;
      std::memcpy(page.data() + (is_high ? n_high++ : n_low++) * kSlotBytes, id.data(), kSlotBytes);
    }
    if (Status s = write(i * kPageBytes, low.data(), kPageBytes); !s.ok()) return s;
    if (Status s = write((i + n_pages_) * kPageBytes, high.data(), kPageBytes); !s.ok()) return s;
  }
  n_pages_ *= 2;
  return {};
}

Result<bool> IdSet::insert(const Digest& id) {
  for (;;) {
    Page page;
    const uint64_t at = hash_of(id) % n_pages_;
    if (Status s = read_page(at, page.data()); !s.ok()) return s;
    for (size_t slot = 0; slot < kSlots; ++slot) {
      const Digest found = slot_of(page, slot);
      if (found == id) return false;
      if (found != kFree) continue;
      if (Status s = write(at * kPageBytes + slot * kSlotBytes, id.data(), kSlotBytes); !s.ok()) {
        return s;
      }
      return true;
    }
    if (Status s = double_pages(); !s.ok()) return s;
  }
}

}  // namespace larder::apps
