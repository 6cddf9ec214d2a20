// Brings ranges of a model's files into memory: in pieces, several at a time, whatever the system
// answers. Short reads go on where they ended, interrupted ones are repeated, failed ones repeated
// once; what then is missing, or was changed meanwhile, is the error of its group alone.
//
// Layout: a range is read with the blocks around it, straight to its place. Its first byte arrives
// `offset % kAlignment` behind the beginning of its span.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "formats/status.h"
#include "runtime/experts/read_backend.h"
#include "runtime/experts/weight_files.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

// Called by one thread at a time; allocates nothing after construction but errors, which where
// there is no memory to tell them are `out_of_memory`.
class WeightReader {
 public:
  static constexpr uint64_t kAlignment = WeightFiles::kAlignment;
  // Long enough for a disk's full rate, short enough that lanes share one matrix. Measured: flat
  // from 256 KiB on with two lanes (virtual disk and laptop SSDs, 2026-08).
  static constexpr uint64_t kPieceBytes = uint64_t{2} << 20;

  // Room that a range takes, and how many pieces.
  static uint64_t span_bytes(const FileRange& range) noexcept;
  static size_t n_pieces(const FileRange& range) noexcept;
  // Whatever its offset is.
  static uint64_t max_span_bytes(uint64_t size_bytes) noexcept;
  static size_t max_pieces(uint64_t size_bytes) noexcept;

  // Groups are numbered below n_groups; max_pieces is how many pieces may be unanswered.
  WeightReader(const WeightFiles& files, std::unique_ptr<ReadBackend> backend, size_t n_groups,
               size_t max_pieces);
  ~WeightReader();
  // What it holds in memory.
  static size_t bytes_for(size_t n_groups, size_t max_pieces) noexcept;

  const ReadBackend& backend() const noexcept { return *backend_; }

  // Begins to fill spans, one behind another from `to` on. `to` is aligned; it must not move or go
  // until the group is finished. REQUIRES: the group is not under way.
  void begin(uint32_t group, std::span<const FileRange> ranges, std::byte* to,
             bool is_urgent) noexcept;
  // A group that was not urgent is now.
  void hurry(uint32_t group) noexcept;
  // Nobody wants a group any more. Whether nothing of it began: then it never was, and finish()
  // does not tell of it.
  bool take_back(uint32_t group) noexcept;

  // Groups that finished since, well or not; none twice. If there is none, and reads are under way,
  // waits for one if `waits`.
  std::span<const uint32_t> finish(bool waits) noexcept;
  // Of a finished group: ok, `io`, `truncated` or `changed`.
  const Status& status(uint32_t group) const noexcept { return groups_[group].status; }

  // Of reads that were answered: these only grow, whatever is taken back.
  uint64_t n_reads() const noexcept { return n_reads_; }
  uint64_t bytes_read() const noexcept { return bytes_read_; }
  uint64_t busy_us() const noexcept { return busy_us_; }  // at least one read was under way
  void count_busy() noexcept;  // busy_us() up to now, also of reads that are under way

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Piece {
    uint32_t group = 0, next = kNone;  // of the group, or of the free ones
    int32_t shard = 0;
    uint32_t n_bytes = 0, n_needed = 0, n_done = 0;
    uint64_t offset = 0;
    std::byte* to = nullptr;
    uint16_t n_postponed = 0;
    uint8_t n_failures = 0;
    bool is_urgent = true;
  };
  struct Group {
    uint32_t first_piece = kNone, n_unanswered = 0;
    int32_t first_shard = 0, last_shard = 0;
    Status status;
  };

  uint32_t add_piece(const Piece& piece) noexcept;
  RawRead raw(uint32_t index) const noexcept;
  void answer(const RawResult& result) noexcept;
  void go_on(uint32_t index, uint32_t from) noexcept;
  void fail(uint32_t index, Status status) noexcept;
  void end(uint32_t index) noexcept;
  void land(size_t n_pieces) noexcept;
  void free_pieces(Group& group) noexcept;
  void finish_group(uint32_t index) noexcept;

  const WeightFiles& files_;
  std::unique_ptr<ReadBackend> backend_;
  std::vector<Group> groups_;
  std::vector<Piece> pieces_;
  std::vector<RawRead> batch_;
  std::vector<uint32_t> ids_, finished_;
  uint32_t free_piece_ = 0;
  size_t n_flying_ = 0;  // pieces
  uint64_t n_reads_ = 0, bytes_read_ = 0, busy_us_ = 0;
  int64_t busy_since_us_ = 0, last_end_us_ = 0;
};

}  // namespace larder::runtime
