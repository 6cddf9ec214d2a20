#include "runtime/experts/read_probe.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/experts/weight_reader.h"

namespace larder::runtime {
namespace {

// Long enough for some 20 reads of a MiB from a disk of 1 GB/s; all ways together 0.16 s. A way's
// rate is its best of the rounds: whatever else the machine does only slows it down.
constexpr int64_t kTrialUs = 20'000;
constexpr int kRounds = 2;
// Of the best rate: as good, with fewer lanes, behind which an urgent read waits for fewer others.
constexpr double kNear = 0.9;
constexpr double kClearlyBetter = 1.1;  // io_uring submits on the thread that computes

constexpr size_t kTrialReads = 64;  // unanswered at most

struct Way {
  bool is_uring;
  int n_lanes;
};
// Fewer lanes suffice an idle machine; where processors compute, they leave the disk idle between
// reads. Measured, 12 layers of Qwen3-30B-A3B's shapes in 1500M: 2 lanes 26.5 ms a token, 4 lanes
// 24.6, 8 lanes 25.2; io_uring with 4 the same as threads.
constexpr Way kWays[] = {{false, 4}, {false, 8}, {true, 4}, {true, 8}};

class Trial {
 public:
  Trial(const WeightFiles& files, std::span<const FileRange> samples, std::span<std::byte> memory)
      : files_(files), samples_(samples), memory_(memory) {
    for (const FileRange& sample : samples)
      place_bytes_ = std::max(place_bytes_, WeightReader::span_bytes(sample));
  }
  // Reads that have room of their own.
  size_t max_lanes() const noexcept { return memory_.size() / place_bytes_; }

  // Bytes a second.
  double run(ReadBackend& backend) {
    RawResult results[8];
    const int64_t begin = read_clock_us();
    int64_t last = begin;
    uint64_t n_bytes = 0;
    size_t n_flying = 0;
    const auto lanes = static_cast<size_t>(backend.n_lanes());
    while (true) {
      const bool ends = read_clock_us() - begin >= kTrialUs;
      for (; !ends && n_flying < lanes; ++n_flying) submit(backend);
      if (n_flying == 0) break;
      const size_t n = backend.collect(results, true);
      n_flying -= n;
      for (size_t i = 0; i < n; ++i) {
        n_bytes += static_cast<uint64_t>(std::max<int64_t>(0, results[i].n_bytes));
        last = std::max(last, results[i].ended_us);
      }
    }
    return static_cast<double>(n_bytes) * 1e6 /
           static_cast<double>(std::max<int64_t>(1, last - begin));
  }

 private:
  void submit(ReadBackend& backend) {
    const FileRange& sample = samples_[next_ % samples_.size()];
    const uint64_t first = sample.offset / WeightReader::kAlignment * WeightReader::kAlignment;
    const uint64_t n = std::min(WeightReader::span_bytes(sample), WeightReader::kPieceBytes);
    const RawRead read[] = {{.descriptor = files_.descriptor(sample.shard),
                             .id = 0,
                             .n_bytes = static_cast<uint32_t>(n),
                             .is_urgent = true,
                             .offset = first,
                             .to = memory_.data() + next_ % max_lanes() * place_bytes_}};
    ++next_;
    backend.submit(read);
  }

  const WeightFiles& files_;
  std::span<const FileRange> samples_;
  std::span<std::byte> memory_;
  uint64_t place_bytes_ = 1;
  size_t next_ = 0;
};

Result<std::unique_ptr<ReadBackend>> make(const Way& way, size_t capacity) {
  return way.is_uring ? make_uring_reads(way.n_lanes, capacity)
                      : make_thread_reads(way.n_lanes, capacity);
}

struct Tried {
  Way way;
  double bytes_per_s;
};

const Tried& best_of(const std::vector<Tried>& tried, bool is_uring) {
  const auto worth = [&](const Tried& t) {
    return t.way.is_uring == is_uring ? t.bytes_per_s : -1;
  };
  double most = 0;
  for (const Tried& t : tried) most = std::max(most, worth(t));
  // Ascending by lanes: the first that is near.
  return *std::find_if(tried.begin(), tried.end(),
                       [&](const Tried& t) { return worth(t) >= kNear * most; });
}

Result<std::vector<Tried>> try_all(const WeightFiles& files, std::span<const FileRange> samples,
                                   std::span<std::byte> memory,
                                   const std::function<bool()>& goes_on) {
  std::vector<Tried> tried;
  if (samples.empty()) return tried;
  Trial trial(files, samples, memory);
  for (const Way& way : kWays) {
    // Through the page cache io_uring hands reads to threads of the kernel's own.
    if (way.is_uring && !files.is_direct()) continue;
    if (static_cast<size_t>(way.n_lanes) <= trial.max_lanes()) tried.push_back({way, 0});
  }
  for (int round = 0; round < kRounds; ++round) {
    for (Tried& t : tried) {
      if (goes_on && !goes_on()) return Status(Cause::cancelled, "loading was interrupted");
      const auto backend = make(t.way, kTrialReads);
      if (backend) t.bytes_per_s = std::max(t.bytes_per_s, trial.run(**backend));
    }
  }
  std::erase_if(tried, [](const Tried& t) { return t.bytes_per_s == 0; });
  return tried;
}

}  // namespace

Result<ProbedReads> choose_reads(const WeightFiles& files, std::span<const FileRange> samples,
                                 std::span<std::byte> memory, size_t capacity,
                                 const std::function<bool()>& goes_on) {
  const Result<std::vector<Tried>> all = try_all(files, samples, memory, goes_on);
  if (!all) return all.status();
  const std::vector<Tried>& tried = *all;
  const bool has_uring =
      std::any_of(tried.begin(), tried.end(), [](const Tried& t) { return t.way.is_uring; });
  Tried chosen = {{false, kDefaultLanes}, 0};
  if (!tried.empty() && !tried.front().way.is_uring) chosen = best_of(tried, false);
  if (has_uring) {
    const Tried& uring = best_of(tried, true);
    if (uring.bytes_per_s > kClearlyBetter * chosen.bytes_per_s) chosen = uring;
  }
  auto backend = make(chosen.way, capacity);
  if (!backend) return backend.status();
  return ProbedReads{std::move(*backend), chosen.bytes_per_s};
}

}  // namespace larder::runtime
