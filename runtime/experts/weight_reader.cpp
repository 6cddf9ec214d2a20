#include "runtime/experts/weight_reader.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "formats/told_status.h"

namespace larder::runtime {
namespace {

using formats::told;

constexpr uint64_t kAlignment = WeightReader::kAlignment;
constexpr uint64_t align_down(uint64_t offset) { return offset / kAlignment * kAlignment; }
constexpr uint64_t align_up(uint64_t offset) { return align_down(offset + kAlignment - 1); }
constexpr uint64_t pieces_of(uint64_t span_bytes) {
  return (span_bytes + WeightReader::kPieceBytes - 1) / WeightReader::kPieceBytes;
}

// A disk's hiccup is worth another try; more would only make a bad sector slower.
constexpr int kMaxFailures = 2;
// So often a read may be put off before that is an error: nobody waits for ever.
constexpr uint16_t kMaxPostponed = 1000;

}  // namespace

uint64_t WeightReader::span_bytes(const FileRange& range) noexcept {
  return align_up(range.offset + range.size_bytes) - align_down(range.offset);
}
size_t WeightReader::n_pieces(const FileRange& range) noexcept {
  return pieces_of(span_bytes(range));
}
uint64_t WeightReader::max_span_bytes(uint64_t size_bytes) noexcept {
  return align_up(size_bytes) + kAlignment;
}
size_t WeightReader::max_pieces(uint64_t size_bytes) noexcept {
  return pieces_of(max_span_bytes(size_bytes));
}
size_t WeightReader::bytes_for(size_t n_groups, size_t max_pieces) noexcept {
  // A piece also has a place in the backend's two queues and among its answers.
  return n_groups * (sizeof(Group) + sizeof(uint32_t)) +
         max_pieces * (sizeof(Piece) + 3 * sizeof(RawRead) + sizeof(RawResult) + sizeof(uint32_t));
}

WeightReader::WeightReader(const WeightFiles& files, std::unique_ptr<ReadBackend> backend,
                           size_t n_groups, size_t max_pieces)
    : files_(files), backend_(std::move(backend)), groups_(n_groups), pieces_(max_pieces) {
  batch_.reserve(max_pieces);
  ids_.reserve(max_pieces);
  finished_.reserve(n_groups);
  for (size_t i = 0; i < max_pieces; ++i)
    pieces_[i].next = i + 1 < max_pieces ? static_cast<uint32_t>(i + 1) : kNone;
  if (max_pieces == 0) free_piece_ = kNone;
}

// The backend first: until it is gone, memory is written to.
WeightReader::~WeightReader() { backend_.reset(); }

uint32_t WeightReader::add_piece(const Piece& piece) noexcept {
  assert(free_piece_ != kNone);
  const uint32_t index = free_piece_;
  free_piece_ = pieces_[index].next;
  pieces_[index] = piece;
  Group& group = groups_[piece.group];
  pieces_[index].next = group.first_piece;
  group.first_piece = index;
  ++group.n_unanswered;
  return index;
}

RawRead WeightReader::raw(uint32_t index) const noexcept {
  const Piece& piece = pieces_[index];
  return {files_.descriptor(piece.shard), index,
          piece.n_bytes - piece.n_done,   piece.is_urgent,
          piece.offset + piece.n_done,    piece.to + piece.n_done};
}

void WeightReader::begin(uint32_t group, std::span<const FileRange> ranges, std::byte* to,
                         bool is_urgent) noexcept {
  assert(groups_[group].n_unanswered == 0 && !ranges.empty());
  groups_[group] = {};
  groups_[group].first_shard = groups_[group].last_shard = ranges.front().shard;
  batch_.clear();
  for (const FileRange& range : ranges) {
    groups_[group].first_shard = std::min(groups_[group].first_shard, range.shard);
    groups_[group].last_shard = std::max(groups_[group].last_shard, range.shard);
    const uint64_t first = align_down(range.offset), end = range.offset + range.size_bytes;
    const uint64_t n_span = span_bytes(range);
    for (uint64_t done = 0; done < n_span; done += kPieceBytes) {
      Piece piece;
      piece.group = group;
      piece.shard = range.shard;
      piece.offset = first + done;
      piece.n_bytes = static_cast<uint32_t>(std::min(kPieceBytes, n_span - done));
      // The block around the end may lie behind the end of the file.
      piece.n_needed = static_cast<uint32_t>(std::min<uint64_t>(piece.n_bytes, end - piece.offset));
      piece.to = to + done;
      piece.is_urgent = is_urgent;
      batch_.push_back(raw(add_piece(piece)));
    }
    to += n_span;
  }
  if (n_flying_ == 0) busy_since_us_ = read_clock_us();
  n_flying_ += batch_.size();
  backend_->submit(batch_);
}

void WeightReader::hurry(uint32_t group) noexcept {
  for (uint32_t i = groups_[group].first_piece; i != kNone; i = pieces_[i].next) {
    pieces_[i].is_urgent = true;
    backend_->hurry(i);
  }
}

bool WeightReader::take_back(uint32_t index) noexcept {
  Group& group = groups_[index];
  ids_.clear();
  for (uint32_t i = group.first_piece; i != kNone; i = pieces_[i].next) ids_.push_back(i);
  if (!backend_->take_back(ids_)) return false;
  group.n_unanswered = 0;
  land(ids_.size());
  free_pieces(group);
  return true;
}

void WeightReader::go_on(uint32_t index, uint32_t from) noexcept {
  pieces_[index].n_done = from;
  const RawRead read[] = {raw(index)};
  backend_->submit(read);
}

void WeightReader::answer(const RawResult& result) noexcept {
  Piece& piece = pieces_[result.id];
  ++n_reads_;
  last_end_us_ = std::max(last_end_us_, result.ended_us);
  const bool is_postponed = result.n_bytes == -EINTR || result.n_bytes == -EAGAIN;
  if (is_postponed && ++piece.n_postponed < kMaxPostponed) return go_on(result.id, piece.n_done);
  if (result.n_bytes < 0) {
    if (++piece.n_failures < kMaxFailures) return go_on(result.id, piece.n_done);
    return fail(result.id, told([&] {
                  const int error = static_cast<int>(-result.n_bytes);
                  return Status(Cause::io, "cannot read: " + std::generic_category().message(error),
                                {}, piece.offset + piece.n_done);
                }));
  }
  const auto n = static_cast<uint32_t>(
      std::min<int64_t>(result.n_bytes, int64_t{piece.n_bytes} - piece.n_done));
  bytes_read_ += n;
  const uint32_t done = piece.n_done + n;
  if (done >= piece.n_needed) return end(result.id);
  // Reads past the page cache begin at blocks.
  const auto from = files_.is_direct() ? static_cast<uint32_t>(align_down(done)) : done;
  if (from > piece.n_done || ++piece.n_failures < kMaxFailures) return go_on(result.id, from);
  fail(result.id, told([&] {
         return Status(Cause::truncated,
                       "the file ends where " + std::to_string(piece.n_needed - done) +
                           " more bytes are read",
                       {}, piece.offset + done);
       }));
}

void WeightReader::fail(uint32_t index, Status status) noexcept {
  Group& group = groups_[pieces_[index].group];
  if (group.status.ok()) group.status = status.with_file(files_.path(pieces_[index].shard));
  end(index);
}

void WeightReader::end(uint32_t index) noexcept {
  const Piece& piece = pieces_[index];
  if (!files_.is_direct()) files_.forget(piece.shard, piece.offset, piece.n_bytes);
  land(1);
  if (--groups_[piece.group].n_unanswered == 0) finish_group(piece.group);
}

void WeightReader::land(size_t n_pieces) noexcept {
  n_flying_ -= n_pieces;
  if (n_flying_ == 0)
    busy_us_ += static_cast<uint64_t>(std::max<int64_t>(0, last_end_us_ - busy_since_us_));
}

void WeightReader::free_pieces(Group& group) noexcept {
  while (group.first_piece != kNone) {
    const uint32_t piece = group.first_piece;
    group.first_piece = pieces_[piece].next;
    pieces_[piece].next = free_piece_;
    free_piece_ = piece;
  }
}

// Looks at the files behind the last read: what was read before is then known to be theirs.
void WeightReader::finish_group(uint32_t index) noexcept {
  Group& group = groups_[index];
  free_pieces(group);
  for (int32_t shard = group.first_shard; shard <= group.last_shard; ++shard) {
    Status now = told([&] { return files_.check(shard); });
    if (!now.ok()) group.status = std::move(now);
  }
  finished_.push_back(index);
}

std::span<const uint32_t> WeightReader::finish(bool waits) noexcept {
  finished_.clear();
  RawResult results[32];
  while (true) {
    const bool must_wait = waits && finished_.empty() && n_flying_ > 0;
    const size_t n = backend_->collect(results, must_wait);
    for (size_t i = 0; i < n; ++i) answer(results[i]);
    if (n == 0 && !must_wait) break;
  }
  return finished_;
}

void WeightReader::count_busy() noexcept {
  if (n_flying_ == 0) return;
  const int64_t now_us = read_clock_us();
  busy_us_ += static_cast<uint64_t>(std::max<int64_t>(0, now_us - busy_since_us_));
  busy_since_us_ = now_us;
}

}  // namespace larder::runtime
