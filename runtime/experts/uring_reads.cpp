// The only use of io_uring. Without the library, a backend that is never there.
#include <cerrno>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/experts/read_backend.h"

#ifdef LARDER_HAS_LIBURING
#include <liburing.h>
#include <unistd.h>

#include "runtime/experts/read_queue.h"

namespace larder::runtime {
namespace {

// A host that closed the descriptor may have a pipe or a socket there now, of which a ring would
// take what comes, or wait for it; pread refuses.
bool is_file(int descriptor) noexcept { return ::lseek(descriptor, 0, SEEK_CUR) >= 0; }

class UringReads final : public ReadBackend {
 public:
  UringReads(int n_lanes, size_t capacity) : queue_(capacity), n_lanes_(n_lanes) {
    flying_.reserve(static_cast<size_t>(n_lanes));
  }
  // Memory that the kernel still writes to must outlive its reads.
  ~UringReads() override {
    if (!is_open_) return;
    RawResult ignored[16];
    while (!flying_.empty()) reap(ignored, true);
    io_uring_queue_exit(&ring_);
  }

  // 0, or -errno.
  int open() noexcept {
    const int error = io_uring_queue_init(static_cast<unsigned>(n_lanes_), &ring_, 0);
    is_open_ = error == 0;
    return error;
  }

  const char* name() const noexcept override { return "io_uring"; }
  int n_lanes() const noexcept override { return n_lanes_; }

  void submit(std::span<const RawRead> reads) noexcept override {
    for (const RawRead& read : reads) queue_.push(read);
    launch();
  }

  void hurry(uint32_t id) noexcept override {
    if (queue_.hurry(id)) launch();
  }

  bool take_back(std::span<const uint32_t> ids) noexcept override { return queue_.take_back(ids); }

  size_t collect(std::span<RawResult> results, bool waits) noexcept override {
    size_t n = reap(results, false);
    launch();
    if (n == 0 && waits && !flying_.empty()) {
      n = reap(results, true);
      launch();
    }
    return n;
  }

 private:
  // Fills the lanes. Reads that are not urgent begin only where no urgent one is under way.
  void launch() noexcept {
    int n_added = 0;
    while (error_ == 0 && std::cmp_less(flying_.size(), n_lanes_) && !queue_.is_empty()) {
      if (!queue_.has_urgent() && n_urgent_ > 0) break;
      io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
      if (entry == nullptr) break;
      const RawRead read = queue_.pop();
      if (is_file(read.descriptor))
        io_uring_prep_read(entry, read.descriptor, read.to, read.n_bytes, read.offset);
      else
        io_uring_prep_nop(entry);  // whose answer is that of a file that ends here
      entry->user_data = uint64_t{read.id} << 1 | (read.is_urgent ? 1 : 0);
      flying_.push_back(entry->user_data);
      ++n_added;
      if (read.is_urgent) ++n_urgent_;
    }
    if (n_added > 0) look_at(io_uring_submit(&ring_));
  }

  // Whether the ring is still there: its descriptor is the host's to close. What the system has no
  // room for at the moment is submitted with the next wait.
  void look_at(int answer) noexcept {
    if (answer < 0 && answer != -EINTR && answer != -EAGAIN && answer != -EBUSY) error_ = answer;
  }

  size_t reap(std::span<RawResult> results, bool waits) noexcept {
    size_t n = 0;
    while (n < results.size()) {
      io_uring_cqe* entry = nullptr;
      if (error_ != 0) {
        if (!fail_one(results[n])) break;
        ++n;
      } else if (io_uring_peek_cqe(&ring_, &entry) == 0) {
        results[n++] = {land(entry->user_data), entry->res, read_clock_us()};
        io_uring_cqe_seen(&ring_, entry);
      } else if (waits && n == 0) {
        look_at(io_uring_submit_and_wait(&ring_, 1));
      } else {
        break;
      }
    }
    return n;
  }

  // The read's number.
  uint32_t land(uint64_t tag) noexcept {
    std::erase(flying_, tag);
    if ((tag & 1) != 0) --n_urgent_;
    return static_cast<uint32_t>(tag >> 1);
  }

  // Without its ring, no read ends any more.
  bool fail_one(RawResult& result) noexcept {
    if (flying_.empty() && queue_.is_empty()) return false;
    const uint32_t id = flying_.empty() ? queue_.pop().id : land(flying_.back());
    result = {id, error_, read_clock_us()};
    return true;
  }

  io_uring ring_ = {};
  ReadQueue queue_;
  std::vector<uint64_t> flying_;  // tags
  int n_lanes_;
  int n_urgent_ = 0;  // of flying_
  int error_ = 0;     // of the ring itself; -errno
  bool is_open_ = false;
};

}  // namespace

Result<std::unique_ptr<ReadBackend>> make_uring_reads(int n_lanes, size_t capacity) {
  try {
    auto reads = std::make_unique<UringReads>(n_lanes, capacity);
    if (const int error = reads->open(); error != 0) {
      return Status(Cause::unsupported,
                    "io_uring is refused: " + std::generic_category().message(-error));
    }
    return std::unique_ptr<ReadBackend>(std::move(reads));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for a queue of reads");
  }
}

}  // namespace larder::runtime

#else

namespace larder::runtime {

Result<std::unique_ptr<ReadBackend>> make_uring_reads(int, size_t) {
  return Status(Cause::unsupported, "this build has no io_uring");
}

}  // namespace larder::runtime

#endif
