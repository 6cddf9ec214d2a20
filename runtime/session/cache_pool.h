// One piece of memory for the caches of many sequences of different lengths, which come and go.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "formats/status.h"
#include "runtime/session/anonymous_memory.h"
#include "runtime/session/sequence_state.h"

namespace larder::runtime {

class CachePool {
 public:
  struct Kind {
    CacheTypes types;
    int32_t longest_pass = SequenceState::kAnyPass;
  };
  // The config must outlive the pool. Error: `out_of_memory`.
  static Result<std::unique_ptr<CachePool>> create(const ModelConfig& config, const Kind& kind,
                                                   size_t bytes);

  // A sequence that gives its memory back when it goes. The pool must outlive it.
  class Lease {
   public:
    ~Lease() { pool_.give_back(range_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    SequenceState& state() noexcept { return *state_; }

   private:
    friend class CachePool;
    struct Range {
      size_t begin, end;
    };
    Lease(CachePool& pool, Range range, std::unique_ptr<SequenceState> state) noexcept
        : pool_(pool), range_(range), state_(std::move(state)) {}
    CachePool& pool_;
    Range range_;
    std::unique_ptr<SequenceState> state_;
  };

  // An empty sequence for `capacity` positions; null while there is no room. Without leases there
  // is room for every sequence whose bytes_for() fits the pool. Error: `out_of_memory`.
  Result<std::shared_ptr<Lease>> lease(int32_t capacity);

  size_t bytes() const noexcept { return memory_.bytes(); }
  // What a sequence takes of a pool.
  static size_t bytes_for(const ModelConfig& config, const Kind& kind, int32_t capacity) noexcept;

 private:
  CachePool(const ModelConfig& config, const Kind& kind) : config_(config), kind_(kind) {}
  void give_back(Lease::Range range) noexcept;

  const ModelConfig& config_;
  Kind kind_;
  AnonymousMemory memory_;
  std::vector<Lease::Range> taken_;  // in ascending order
};

}  // namespace larder::runtime
