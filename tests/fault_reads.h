// A backend of reads that does to answers what disks, kernels and bad luck do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "runtime/experts/read_backend.h"

namespace larder::tests {

// What becomes of one read.
struct ReadFate {
  int64_t answer = 0;       // 0: what the disk says; else bytes, or -errno, and nothing is read
  uint32_t most_bytes = 0;  // 0: all that is asked for; else a short read
};

// Reads through `inner` and asks `fate` about every read, in the order they are submitted. With
// `reorders`, answers are held back and come one at a time, in a random order.
class FaultReads final : public runtime::ReadBackend {
 public:
  using Fate = std::function<ReadFate(const runtime::RawRead& read)>;
  FaultReads(std::unique_ptr<runtime::ReadBackend> inner, Fate fate, bool reorders)
      : inner_(std::move(inner)), fate_(std::move(fate)), reorders_(reorders) {}

  const char* name() const noexcept override { return "faults"; }
  int n_lanes() const noexcept override { return inner_->n_lanes(); }
  void submit(std::span<const runtime::RawRead> reads) noexcept override {
    for (const runtime::RawRead& read : reads) {
      const ReadFate fate = fate_ ? fate_(read) : ReadFate{};
      if (fate.answer != 0) {
        held_.push_back({read.id, fate.answer, runtime::read_clock_us()});
        continue;
      }
      runtime::RawRead& cut = cut_[read.id] = read;
      if (fate.most_bytes > 0) cut.n_bytes = fate.most_bytes;
      inner_->submit({&read, 1});
    }
  }
  void hurry(uint32_t id) noexcept override { inner_->hurry(id); }

  bool take_back(std::span<const uint32_t> ids) noexcept override { return inner_->take_back(ids); }

  size_t collect(std::span<runtime::RawResult> results, bool waits) noexcept override {
    runtime::RawResult some[16];
    const size_t n_inner = inner_->collect(some, waits && held_.empty());
    for (size_t i = 0; i < n_inner; ++i) {
      const runtime::RawRead& cut = cut_[some[i].id];
      // What is not answered was not read.
      for (; some[i].n_bytes > cut.n_bytes; --some[i].n_bytes)
        cut.to[some[i].n_bytes - 1] = std::byte{0xEE};
      held_.push_back(some[i]);
    }
    // With reordering, answers come one at a time, and now and then none comes.
    if (reorders_ && !waits && next() % 3 == 0) return 0;
    size_t n = 0;
    const size_t most = reorders_ ? 1 : results.size();
    while (n < std::min(most, results.size()) && !held_.empty()) {
      const size_t i = reorders_ ? next() % held_.size() : 0;
      results[n++] = held_[i];
      held_.erase(held_.begin() + static_cast<long>(i));
    }
    return n;
  }

 private:
  uint64_t next() noexcept {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;  // Source: Knuth, MMIX
    return state_ >> 33;
  }
  std::unique_ptr<runtime::ReadBackend> inner_;
  Fate fate_;
  bool reorders_;
  std::vector<runtime::RawResult> held_;
  std::map<uint32_t, runtime::RawRead> cut_;  // as many bytes as are answered, by the read's id
  uint64_t state_ = 1;
};

}  // namespace larder::tests
