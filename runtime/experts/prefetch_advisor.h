// Whether to read experts ahead that the next layer's router names early. Pure. It judges
// predictions by what became of them, also of those that nobody read: being wrong costs nothing
// until it has been right often enough.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace larder::runtime {

struct PrefetchRules {
  // Of experts read ahead, the share that has to be used. Reading ahead saves waiting, not bytes,
  // so it loses well above one half. Source: measurements of others, 2026-08: gains at 71 % and
  // above, losses at 41 %.
  float break_even = 0.6f;
  // Experts read in vain, of all that are read. Measured on 12 layers of Qwen3-30B-A3B's shapes
  // with a disk of 3 GB/s: a tenth more may be read for being read in time.
  float max_growth = 0.1f;
  int32_t probe_interval = 32;  // steps between looks at predictions that did not pay
};

// What the router of a layer says to the input of an earlier one.
struct ExpertPrediction {
  int layer = 0;
  std::span<const int32_t> experts;     // best first
  std::span<const uint8_t> is_missing;  // of each: neither in memory nor on its way
};

class PrefetchAdvisor {
 public:
  PrefetchAdvisor(int32_t max_ranks, const PrefetchRules& rules);

  // A token's pass begins. False: predictions are not worth making in it.
  bool begin_step() noexcept;

  // The ranks worth reading ahead, best first, at most ranks.size(); how many. One prediction is
  // open at a time. REQUIRES: experts.size() == is_missing.size() <= max_ranks
  size_t advise(const ExpertPrediction& prediction, std::span<int32_t> ranks) noexcept;
  // The expert of that rank is being read ahead.
  void started(int32_t rank) noexcept;
  // What was started for the open prediction's expert did not begin, and will not.
  void took_back(int32_t expert) noexcept;

  // What a layer chose, and how many of it were missing, those that were read ahead not counted.
  // Closes the prediction for it.
  void observe(int layer, std::span<const int32_t> experts, int32_t n_missing) noexcept;

  // Of experts that were missing, the share of those named with this rank that was used. 0 to 1,
  // and low until enough is known.
  float precision(int32_t rank) const noexcept {
    return ranks_[static_cast<size_t>(rank)].precision();
  }
  bool is_on() const noexcept { return is_on_; }  // some rank is worth reading ahead

 private:
  // Of missing experts, how many were named and used, the older ones counting less.
  struct Record {
    float named = kDoubt, used = 0;
    void add(bool is_used, float fade) noexcept;
    float precision() const noexcept { return used / named; }
  };
  struct Rank {
    Record lately, usually;
    int32_t expert = -1;  // of the open prediction; -1: not missing
    bool is_started = false;
    // A streak of luck is not enough, nor a good past.
    float precision() const noexcept { return std::min(lately.precision(), usually.precision()); }
  };
  // Predictions that a rank begins with, all of them wrong.
  static constexpr float kDoubt = 8;
  bool pays(const Rank& rank) const noexcept { return rank.precision() >= rules_.break_even; }
  void limit_growth() noexcept;

  PrefetchRules rules_;
  std::vector<Rank> ranks_;
  int32_t n_open_ = 0;  // ranks of the open prediction
  int open_layer_ = -1;
  int64_t n_steps_ = 0;
  bool is_on_ = false, is_halted_ = false;
  float read_ = 0, in_vain_ = 0;  // experts, lately
};

}  // namespace larder::runtime
