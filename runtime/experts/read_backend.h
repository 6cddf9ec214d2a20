// Many reads of files at a time, as the system answers them: short, failed, in any order. What a
// short or failed read means is decided above (weight_reader.h), once for all backends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "formats/status.h"

namespace larder::runtime {

struct RawRead {
  int descriptor = -1;
  uint32_t id = 0;  // handed back with the answer
  uint32_t n_bytes = 0;
  bool is_urgent = true;  // before all that are not
  uint64_t offset = 0;
  std::byte* to = nullptr;
};

struct RawResult {
  uint32_t id = 0;
  int64_t n_bytes = 0;   // or -errno
  int64_t ended_us = 0;  // of read_clock_us()
};

int64_t read_clock_us() noexcept;

// Called by one thread at a time. No call but collect() waits for a disk.
class ReadBackend {
 public:
  // Reads that did not begin are forgotten; returns when nothing is written to memory any more.
  virtual ~ReadBackend() = default;

  virtual const char* name() const noexcept = 0;
  virtual int n_lanes() const noexcept = 0;  // reads under way at once
  // REQUIRES: no more reads unanswered than the capacity it was made with
  virtual void submit(std::span<const RawRead> reads) noexcept = 0;
  // A read that was not urgent is now.
  virtual void hurry(uint32_t id) noexcept = 0;
  // Forgets reads, which then get no answer: all of these, or none, where one began already.
  virtual bool take_back(std::span<const uint32_t> ids) noexcept = 0;
  // Takes answers; where there are none and reads are unanswered, waits for one if `waits`.
  virtual size_t collect(std::span<RawResult> results, bool waits) noexcept = 0;
};

// pread in threads of its own. Error: `out_of_memory` where the system refuses a thread.
Result<std::unique_ptr<ReadBackend>> make_thread_reads(int n_lanes, size_t capacity);

// io_uring. Error: `unsupported` where the system or the build lacks it.
Result<std::unique_ptr<ReadBackend>> make_uring_reads(int n_lanes, size_t capacity);

}  // namespace larder::runtime
