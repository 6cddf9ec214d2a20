#include "runtime/experts/paged_expert_store.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "runtime/experts/prefetch_advisor.h"
#include "runtime/experts/read_probe.h"
#include "runtime/experts/weight_reader.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {
namespace {

// Of smaller slabs a probe tells more about caches than about the disk.
constexpr uint64_t kMinProbedBytes = uint64_t{256} << 20;
constexpr size_t kSamples = 512;
// Predictions of more experts than any model uses at a time are cut.
constexpr size_t kMaxRanks = 64;
// What a reading thread touches of its stack, and what the system keeps for it.
constexpr uint64_t kThreadBytes = 64 << 10;
constexpr uint64_t kMostThreads = 8;

enum class SlotState : uint8_t { empty, loading, ready, failed };

struct Slot {
  int32_t layer = -1, expert = -1;
  SlotState state = SlotState::empty;
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
    return pool_slots_[static_cast<size_t>(layout_.pool_of(layer))];
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
  Slot& slot(int32_t index) noexcept { return slots_[static_cast<size_t>(index)]; }
  std::vector<FileRange> samples() const;
  void warm(std::span<const float> use);
  void end_warming(const LayerRoutes& routes) noexcept;
  void drop_unchosen(const LayerRoutes& routes) noexcept;
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
  std::vector<Slot> slots_;
  std::unique_ptr<WeightReader> reader_;
  std::vector<int32_t> ahead_;    // slots that the last prediction has filled
  std::vector<int32_t> warming_;  // slots that were to be filled before anything is asked for
  // What the reader did until the first request; not the work of any token.
  uint64_t n_warm_reads_ = 0, warm_us_ = 0;
  ExpertCounters counters_;
  double probe_bytes_per_s_ = 0;
  int first_layer_ = -1;  // that has routed experts
  bool wants_predictions_ = false;
};

// Matrices of experts all over the files.
std::vector<FileRange> PagedExpertStore::samples() const {
  std::vector<FileRange> samples;
  const auto n_layers = static_cast<uint64_t>(weights_.layers.size());
  uint64_t state = 1;
  for (size_t i = 0; i < 8 * kSamples && samples.size() < kSamples; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;  // Source: Knuth, MMIX
    const LayerWeights& layer = weights_.layers[(state >> 33) % n_layers];
    const auto n_experts = static_cast<uint64_t>(layer.down.n_experts());
    if (n_experts == 0) continue;
    samples.push_back(layer.down.range(static_cast<int32_t>((state >> 13) % n_experts)));
  }
  return samples;
}

Status PagedExpertStore::open_reader(const PagedStoreOptions& options) {
  for (int i = 0; first_layer_ < 0; ++i)
    if (layout_.pool_of(i) >= 0) first_layer_ = i;
  const size_t capacity = layout_.max_pieces(pool_slots_);
  std::unique_ptr<ReadBackend> backend;
  if (options.make_backend) {
    auto made = options.make_backend(capacity);
    if (!made) return made.status();
    backend = std::move(*made);
  } else {
    const bool probes = layout_.all_bytes() >= kMinProbedBytes;
    auto chosen = choose_reads(files_, probes ? samples() : std::vector<FileRange>(),
                               {slab_.data(), slab_.bytes()}, capacity, options.goes_on);
    if (!chosen) return chosen.status();
    backend = std::move(chosen->backend);
    probe_bytes_per_s_ = chosen->bytes_per_s;
  }
  reader_ = std::make_unique<WeightReader>(files_, std::move(backend), slots_.size(), capacity);
  return {};
}

void PagedExpertStore::observe(const LayerRoutes& routes) noexcept {
  const size_t n_rows = routes.experts.size() / static_cast<size_t>(routes.n_active);
  if (routes.layer == first_layer_) {
    counters_.n_tokens += n_rows;
    wants_predictions_ = n_rows == 1 && advisor_.begin_step();
  }
  poll(false);
  if (!warming_.empty()) end_warming(routes);
  drop_unchosen(routes);
  if (n_rows == 1) {
    const auto n_missing =
        std::count_if(routes.experts.begin(), routes.experts.end(),
                      [&](int32_t expert) { return policy_.find(routes.layer, expert) < 0; });
    advisor_.observe(routes.layer, routes.experts, static_cast<int32_t>(n_missing));
  }
  policy_.observe(routes);
}

void PagedExpertStore::import_use(std::span<const float> use, float n_tokens) noexcept {
  policy_.import_use(use, n_tokens);
  if (counters_.n_asked() > 0 || !warming_.empty()) return;
  try {
    warm(use);
  } catch (const std::bad_alloc&) {  // it begins cold
  }
}

// Free slots for what was used most, in the order of use: before the first pass the disk is idle.
void PagedExpertStore::warm(std::span<const float> use) {
  struct Favourite {
    float use;
    int32_t layer, expert;
  };
  std::vector<Favourite> favourites;
  const float* next = use.data();
  for (size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    if (layout_.pool_of(static_cast<int>(layer)) < 0) continue;
    const int32_t n_experts = weights_.layers[layer].down.n_experts();
    for (int32_t e = 0; e < n_experts; ++e, ++next)
      if (*next > 0) favourites.push_back({*next, static_cast<int32_t>(layer), e});
  }
  std::stable_sort(favourites.begin(), favourites.end(),
                   [](const Favourite& a, const Favourite& b) { return a.use > b.use; });
  std::vector<int32_t> n_free = pool_slots_;
  warming_.reserve(std::min(favourites.size(), slots_.size()));
  for (const Favourite& one : favourites) {
    if (n_free[static_cast<size_t>(layout_.pool_of(one.layer))]-- <= 0) continue;
    const ExpertPlace place = policy_.take(one.layer, one.expert);
    slot(place.slot).n_kept_pins = 1;
    load(place.slot, one.layer, one.expert, false);
    warming_.push_back(place.slot);
  }
}

// The first request: what did not begin is not read, but for what is asked for.
void PagedExpertStore::end_warming(const LayerRoutes& routes) noexcept {
  while (!warming_.empty()) {
    const int32_t index = warming_.back();
    warming_.pop_back();
    const Slot& read = slot(index);
    const auto end = routes.experts.end();
    const bool is_chosen =
        read.layer == routes.layer && std::find(routes.experts.begin(), end, read.expert) != end;
    if (read.state != SlotState::loading || is_chosen) continue;
    if (reader_->take_back(static_cast<uint32_t>(index))) end_read(index, false);
  }
  warming_.shrink_to_fit();
  counters_.bytes_warmed = reader_->bytes_read();
  n_warm_reads_ = reader_->n_reads();
  warm_us_ = reader_->busy_us();
}

// Reads ahead that did not begin, of experts that the layer did not choose after all.
void PagedExpertStore::drop_unchosen(const LayerRoutes& routes) noexcept {
  for (const int32_t index : ahead_) {
    const Slot& read = slot(index);
    if (!read.is_ahead || read.state != SlotState::loading || read.n_pins > 0) continue;
    const auto end = routes.experts.end();
    if (read.layer == routes.layer && std::find(routes.experts.begin(), end, read.expert) != end)
      continue;
    if (!reader_->take_back(static_cast<uint32_t>(index))) continue;
    if (read.layer == routes.layer) advisor_.took_back(read.expert);
    --counters_.n_ahead;
    counters_.bytes_ahead -= layout_.spans(read.layer, read.expert).read_bytes();
    end_read(index, false);
  }
  ahead_.clear();
}

void PagedExpertStore::predict(int layer, std::span<const int32_t> experts) noexcept {
  const size_t n = std::min(experts.size(), kMaxRanks);
  std::array<uint8_t, kMaxRanks> is_missing;
  std::array<int32_t, kMaxRanks> ranks;
  for (size_t i = 0; i < n; ++i) is_missing[i] = policy_.find(layer, experts[i]) < 0;
  const size_t n_worth =
      advisor_.advise({layer, experts.first(n), {is_missing.data(), n}}, {ranks.data(), n});
  for (const int32_t rank : std::span(ranks).first(n_worth)) {
    const int32_t expert = experts[static_cast<size_t>(rank)];
    const ExpertPlace place = policy_.take_ahead(layer, expert, advisor_.precision(rank));
    if (place.slot < 0) continue;
    Slot& to = slot(place.slot);
    to.is_ahead = true;
    to.n_kept_pins = 1;
    load(place.slot, layer, expert, false);
    ahead_.push_back(place.slot);
    advisor_.started(rank);
    ++counters_.n_ahead;
    counters_.bytes_ahead += layout_.spans(layer, expert).read_bytes();
  }
}

void PagedExpertStore::load(int32_t index, int layer, int32_t expert, bool is_urgent) noexcept {
  Slot& to = slot(index);
  to.layer = layer;
  to.expert = expert;
  to.state = SlotState::loading;
  to.is_inherited = false;
  const ExpertSpans spans = layout_.spans(layer, expert);
  reader_->begin(static_cast<uint32_t>(index), {spans.ranges.data(), spans.n_ranges}, to.data,
                 is_urgent);
}

Status PagedExpertStore::pin(int layer, int32_t expert, ExpertPin& pin) {
  ExpertPlace place = policy_.take(layer, expert);
  while (place.slot < 0) {
    // All slots are pinned, some by reads that nobody waits for any more.
    const bool has_reads = std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) {
      return s.state == SlotState::loading && s.n_pins == 0;
    });
    if (!has_reads) return Status(Cause::budget, "more experts are pinned than there are slots");
    poll(true);
    place = policy_.take(layer, expert);
  }
  Slot& taken = slot(place.slot);
  ++taken.n_pins;
  pin = {layer, expert, place.slot};
  if (!place.is_hit) {
    ++counters_.n_misses;
    taken.is_ahead = false;
    load(place.slot, layer, expert, true);
    return {};
  }
  ++counters_.n_hits;
  if (taken.is_ahead) ++counters_.n_ahead_used;
  taken.is_inherited = taken.state == SlotState::loading;
  if (taken.is_inherited) {
    if (taken.is_ahead) ++counters_.n_late;
    reader_->hurry(static_cast<uint32_t>(place.slot));
  }
  taken.is_ahead = false;
  return {};
}

Status PagedExpertStore::request(int layer, std::span<const int32_t> experts,
                                 std::span<ExpertPin> pins) {
  assert(experts.size() == pins.size());
  for (size_t i = 0; i < experts.size(); ++i) {
    Status status = pin(layer, experts[i], pins[i]);
    if (status.ok()) continue;
    release(pins.first(i));
    return status;
  }
  return {};
}

// Takes notice of reads that ended. One that failed because of what was before the call that waits
// for it begins anew.
void PagedExpertStore::poll(bool waits) noexcept {
  const int64_t begin = waits ? read_clock_us() : 0;
  for (const uint32_t index : reader_->finish(waits)) {
    const Slot& read = slots_[index];
    const bool is_well = reader_->status(index).ok();
    if (!is_well && read.is_inherited && read.n_pins > 0)
      load(static_cast<int32_t>(index), read.layer, read.expert, true);
    else
      end_read(static_cast<int32_t>(index), is_well);
  }
  if (waits) counters_.wait_us += static_cast<uint64_t>(read_clock_us() - begin);
}

void PagedExpertStore::end_read(int32_t index, bool is_well) noexcept {
  Slot& read = slot(index);
  read.state = is_well ? SlotState::ready : SlotState::failed;
  if (!is_well) policy_.drop(index);
  for (; read.n_kept_pins > 0; --read.n_kept_pins) policy_.release(index);
}

size_t PagedExpertStore::gather(std::span<ExpertPin> pins, bool waits) {
  poll(false);
  while (true) {
    size_t n = 0;
    for (ExpertPin& pin : pins)
      if (slot(pin.slot).state != SlotState::loading) std::swap(pin, pins[n++]);
    if (n > 0 || !waits || pins.empty()) return n;
    poll(true);
  }
}

Status PagedExpertStore::why_failed(const ExpertPin& pin) const noexcept {
  const Status& why = reader_->status(static_cast<uint32_t>(pin.slot));
  try {
    const ErrorDetail& detail = why.detail();
    return Status(detail.cause, detail.message,
                  "layer " + std::to_string(pin.layer) + ", expert " + std::to_string(pin.expert),
                  detail.offset)
        .with_file(detail.file);
  } catch (const std::bad_alloc&) {
    return why;
  }
}

Status PagedExpertStore::wait(const ExpertPin& pin, ExpertWeights& weights) {
  Slot& from = slot(pin.slot);
  while (from.state == SlotState::loading) poll(true);
  if (from.state == SlotState::failed) return why_failed(pin);
  const LayerWeights& layer = weights_.layers[static_cast<size_t>(pin.layer)];
  const ExpertSpans spans = layout_.spans(pin.layer, pin.expert);
  const auto* data = reinterpret_cast<const uint8_t*>(from.data);
  weights = {layer.gate.first, layer.up.first, layer.down.first};
  if (layer.gate.n_experts() > 0) weights.gate.data = data + spans.gate;
  weights.up.data = data + spans.up;
  weights.down.data = data + spans.down;
  return {};
}

void PagedExpertStore::release(std::span<const ExpertPin> pins) noexcept {
  for (const ExpertPin& pin : pins) {
    Slot& from = slot(pin.slot);
    assert(from.n_pins > 0);
    --from.n_pins;
    if (from.state != SlotState::loading) {
      policy_.release(pin.slot);
      continue;
    }
    ++from.n_kept_pins;
    // Whoever asks next does not wait for what nobody wants any more.
    if (from.n_pins == 0 && reader_->take_back(static_cast<uint32_t>(pin.slot)))
      end_read(pin.slot, false);
  }
}

std::optional<ExpertStatistics> PagedExpertStore::statistics() const {
  ExpertStatistics all;
  all.facts.slab_bytes = layout_.bytes_for(pool_slots_);
  all.facts.all_bytes = layout_.all_bytes();
  all.facts.cycle_bytes = layout_.cycle_bytes();
  all.facts.n_slots = policy_.n_slots();
  all.facts.n_experts = static_cast<int32_t>(layout_.n_experts());
  all.facts.n_lanes = reader_->backend().n_lanes();
  all.facts.probe_bytes_per_s = probe_bytes_per_s_;
  all.facts.is_direct = files_.is_direct();
  all.facts.reader = reader_->backend().name();
  all.facts.note = files_.note();
  all.counters = counters_;
  if (!warming_.empty()) {
    all.counters.bytes_warmed = reader_->bytes_read();
    return all;
  }
  all.counters.n_reads = reader_->n_reads() - n_warm_reads_;
  all.counters.bytes_read = reader_->bytes_read() - counters_.bytes_warmed;
  all.counters.busy_us = reader_->busy_us() - warm_us_;
  return all;
}

}  // namespace

Result<std::shared_ptr<ExpertStore>> make_paged_expert_store(const Model& model,
                                                             const PagedStoreOptions& options) {
  try {
    const ExpertLayout layout(model.config(), model.weights());
    if (layout.is_empty())
      return Status(Cause::unsupported, "a model without routed experts has nothing to page");
    if (options.slab_bytes < layout.floor_bytes())
      return Status(Cause::budget, "experts need " + std::to_string(layout.floor_bytes()) +
                                       " bytes at least, there are " +
                                       std::to_string(options.slab_bytes));
    Result<WeightFiles> files = WeightFiles::open(model.file(), options.access);
    if (!files) return files.status();
    std::vector<int32_t> pool_slots = layout.slots_for(options.slab_bytes);
    Result<AnonymousMemory> slab =
        AnonymousMemory::allocate_huge(layout.bytes_for(pool_slots), "experts");
    if (!slab) return slab.status();
    if (Status s = slab->populate("experts", options.goes_on); !s.ok()) return s;
    auto store = std::make_shared<PagedExpertStore>(model, std::move(*files), std::move(*slab),
                                                    std::move(pool_slots));
    if (Status s = store->open_reader(options); !s.ok()) return s;
    return std::shared_ptr<ExpertStore>(std::move(store));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for the tables of experts");
  }
}

uint64_t paged_store_table_bytes(const ExpertLayout& layout, uint64_t slab_bytes) {
  const std::vector<int32_t> slots = layout.slots_for(slab_bytes);
  const ExpertPolicyShape shape = layout.policy_shape(slots);
  size_t n_slots = 0;
  for (const int32_t n : slots) n_slots += static_cast<size_t>(n);
  return ExpertPolicy::bytes(shape) + n_slots * sizeof(Slot) +
         WeightReader::bytes_for(n_slots, layout.max_pieces(slots)) + kMostThreads * kThreadBytes;
}

}  // namespace larder::runtime
