// What a store of experts did, for people and programs: counters that only grow, and what they were
// counted against.
#pragma once

#include <cstdint>
#include <string>

namespace larder::runtime {

// Since the store was opened. An interval is the difference of two snapshots.
struct ExpertCounters {
  uint64_t n_tokens = 0;  // rows that went through all layers

  // Experts that a layer asked for, each once a layer and batch.
  uint64_t n_hits = 0;    // were in memory
  uint64_t n_misses = 0;  // were read when they were asked for
  uint64_t n_late = 0;    // of the hits, were still being read ahead

  uint64_t n_reads = 0;  // that the system answered, those ahead included
  uint64_t bytes_read = 0;

  // Experts read before they were asked for; what is taken back before it begins is none.
  uint64_t n_ahead = 0, n_ahead_used = 0;
  uint64_t bytes_ahead = 0;

  // Of earlier runs' favourites, before anything was asked for; not among bytes_read.
  uint64_t bytes_warmed = 0;

  uint64_t wait_us = 0;  // computing stood still for reads
  uint64_t busy_us = 0;  // at least one read was under way

  uint64_t n_asked() const noexcept { return n_hits + n_misses; }
  double hit_rate() const noexcept {  // 0 to 1; 1 where nothing was asked for
    return n_asked() == 0 ? 1 : static_cast<double>(n_hits) / static_cast<double>(n_asked());
  }
  double bytes_per_token() const noexcept { return per_token(bytes_read); }
  double reads_per_token() const noexcept { return per_token(n_reads); }
  double bytes_per_s() const noexcept {  // while reading; 0 where nothing was read
    return busy_us == 0 ? 0 : static_cast<double>(bytes_read) * 1e6 / static_cast<double>(busy_us);
  }
  double ahead_used_rate() const noexcept {  // 0 to 1; 1 where nothing was read ahead
    return n_ahead == 0 ? 1 : static_cast<double>(n_ahead_used) / static_cast<double>(n_ahead);
  }

  ExpertCounters& operator-=(const ExpertCounters& earlier) noexcept;

 private:
  double per_token(uint64_t count) const noexcept {
    return n_tokens == 0 ? 0 : static_cast<double>(count) / static_cast<double>(n_tokens);
  }
};

inline ExpertCounters& ExpertCounters::operator-=(const ExpertCounters& earlier) noexcept {
  n_tokens -= earlier.n_tokens;
  n_hits -= earlier.n_hits;
  n_misses -= earlier.n_misses;
  n_late -= earlier.n_late;
  n_reads -= earlier.n_reads;
  bytes_read -= earlier.bytes_read;
  n_ahead -= earlier.n_ahead;
  n_ahead_used -= earlier.n_ahead_used;
  bytes_ahead -= earlier.bytes_ahead;
  bytes_warmed -= earlier.bytes_warmed;
  wait_us -= earlier.wait_us;
  busy_us -= earlier.busy_us;
  return *this;
}

// What a paged store is, fixed when it is opened.
struct ExpertStoreFacts {
  uint64_t slab_bytes = 0;   // experts in memory at most
  uint64_t all_bytes = 0;    // all routed experts of the model
  uint64_t cycle_bytes = 0;  // what one token uses: all layers' active experts
  int32_t n_slots = 0, n_experts = 0;
  int32_t n_lanes = 0;           // reads under way at once
  double probe_bytes_per_s = 0;  // the disk's rate for reads of an expert's size; 0: not measured
  bool is_direct = false;        // past the page cache
  std::string reader;            // "threads", "io_uring"
  std::string note;              // why not direct, and the like; empty: nothing to say

  double cached_share() const noexcept {
    return all_bytes == 0 ? 1 : static_cast<double>(slab_bytes) / static_cast<double>(all_bytes);
  }
};

struct ExpertStatistics {
  ExpertStoreFacts facts;
  ExpertCounters counters;
};

}  // namespace larder::runtime
