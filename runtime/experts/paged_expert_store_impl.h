// The store whose experts come and go: a slab of slots, a policy that says what they hold, a
// reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/experts/expert_layout.h"
#include "runtime/experts/expert_policy.h"
#include "runtime/experts/paged_expert_store.h"
#include "runtime/experts/prefetch_advisor.h"
#include "runtime/experts/weight_files.h"
#include "runtime/experts/weight_reader.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {

// Predictions of more experts than any model uses at a time are cut.
inline constexpr size_t kMaxRanks = 64;

enum class ExpertSlotState : uint8_t { empty, loading, ready, failed };

struct ExpertSlot {
  int32_t layer = -1, expert = -1;
  ExpertSlotState state = ExpertSlotState::empty;
  bool is_ahead = false;      // read before it was asked for, and not asked for since
  bool is_inherited = false;  // whoever waits for the read came when it had begun
  int32_t n_pins = 0;         // of callers
  int32_t n_kept_pins = 0;    // of the policy, given back when the read has ended
  std::byte* data = nullptr;
};

// Invariant: a slot that is being read into is pinned in the policy.
class PagedExpertStore final : public ExpertStore {
 public:
  PagedExpertStore(const Model& model, WeightFiles files, AnonymousMemory slab,
                   std::vector<int32_t> pool_slots)
      : layout_(model.config(), model.weights()),
        weights_(model.weights()),
        files_(std::move(files)),
        slab_(std::move(slab)),
        pool_slots_(std::move(pool_slots)),
        policy_(layout_.policy_shape(pool_slots_)),
        advisor_(static_cast<int32_t>(kMaxRanks), {}),
        slots_(static_cast<size_t>(policy_.n_slots())) {
    ahead_.reserve(kMaxRanks);
    std::byte* at = slab_.data();
    size_t next = 0;
    for (size_t pool = 0; pool < pool_slots_.size(); ++pool) {
      for (int32_t i = 0; i < pool_slots_[pool]; ++i, at += layout_.pools()[pool].slot_bytes)
        slots_[next++].data = at;
    }
  }
  // Reads into the slab end before the slab does.
  ~PagedExpertStore() override { reader_.reset(); }

  Status open_reader(const PagedStoreOptions& options);

  int32_t max_pins(int layer) const noexcept override {
    const int pool = layout_.pool_of(layer);
    return pool < 0 ? 0 : pool_slots_[static_cast<size_t>(pool)];
  }
  void observe(const LayerRoutes& routes) noexcept override;
  bool has(int layer, int32_t expert) const noexcept override {
    return policy_.find(layer, expert) >= 0;
  }
  Status request(int layer, std::span<const int32_t> experts, std::span<ExpertPin> pins) override;
  size_t gather(std::span<ExpertPin> pins, bool waits) override;
  Status wait(const ExpertPin& pin, ExpertWeights& weights) override;
  void release(std::span<const ExpertPin> pins) noexcept override;
  bool wants_predictions() const noexcept override { return wants_predictions_; }
  void predict(int layer, std::span<const int32_t> experts) noexcept override;
  size_t bytes() const noexcept override { return slab_.bytes(); }
  std::optional<ExpertStatistics> statistics() const override;
  const ExpertForecast* forecast() const noexcept override { return &policy_.forecast(); }
  void import_use(std::span<const float> use, float n_tokens) noexcept override;

 private:
  ExpertSlot& slot(int32_t index) noexcept { return slots_[static_cast<size_t>(index)]; }
  std::vector<FileRange> samples() const;
  void warm(std::span<const float> use);
  void end_warming(const LayerRoutes& routes) noexcept;
  void drop_unchosen(const LayerRoutes& routes) noexcept;
  bool take_back_unchosen(int32_t index, const LayerRoutes& routes) noexcept;
  Status why_failed(const ExpertPin& pin) const noexcept;
  Status pin(int layer, int32_t expert, ExpertPin& pin);
  void count(const ExpertPlace& place) noexcept;
  void load(int32_t index, int layer, int32_t expert, bool is_urgent) noexcept;
  void poll(bool waits) noexcept;
  void end_read(int32_t index, bool is_well) noexcept;

  ExpertLayout layout_;
  const ModelWeights& weights_;
  WeightFiles files_;
  AnonymousMemory slab_;
  std::vector<int32_t> pool_slots_;
  ExpertPolicy policy_;
  PrefetchAdvisor advisor_;
  std::vector<ExpertSlot> slots_;
  std::unique_ptr<WeightReader> reader_;
  // What the last predictions began to read. Counted when the layer has chosen: until then it may
  // be taken back, and counters only grow.
  struct ReadAhead {
    int32_t slot;
    uint64_t n_bytes;
  };
  std::vector<ReadAhead> ahead_;
  std::vector<int32_t> warming_;  // slots that were to be filled before anything is asked for
  // What the reader did until the first request; not the work of any token.
  uint64_t n_warm_reads_ = 0, warm_us_ = 0;
  ExpertCounters counters_;
  double probe_bytes_per_s_ = 0;
  int first_layer_ = -1;  // that has routed experts
  bool wants_predictions_ = false;
};

}  // namespace larder::runtime
