#include "runtime/experts/paged_expert_store.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <string>

#include "runtime/experts/paged_expert_store_impl.h"
#include "runtime/experts/read_probe.h"

namespace larder::runtime {
namespace {

// Of smaller slabs a probe tells more about caches than about the disk.
constexpr uint64_t kMinProbedBytes = uint64_t{256} << 20;
constexpr size_t kSamples = 512;
// What a reading thread touches of its stack, and what the system keeps for it.
constexpr uint64_t kThreadBytes = 64 << 10;
constexpr uint64_t kMostThreads = 8;

}  // namespace

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

void PagedExpertStore::load(int32_t index, int layer, int32_t expert, bool is_urgent) noexcept {
  ExpertSlot& to = slot(index);
  to.layer = layer;
  to.expert = expert;
  to.state = ExpertSlotState::loading;
  to.is_inherited = false;
  const ExpertSpans spans = layout_.spans(layer, expert);
  reader_->begin(static_cast<uint32_t>(index), {spans.ranges.data(), spans.n_ranges}, to.data,
                 is_urgent);
}

Status PagedExpertStore::pin(int layer, int32_t expert, ExpertPin& pin) {
  ExpertPlace place = policy_.take(layer, expert);
  while (place.slot < 0) {
    // All slots are pinned, some by reads that nobody waits for any more.
    const bool has_reads = std::any_of(slots_.begin(), slots_.end(), [](const ExpertSlot& s) {
      return s.state == ExpertSlotState::loading && s.n_pins == 0;
    });
    if (!has_reads) return Status(Cause::budget, "more experts are pinned than there are slots");
    poll(true);
    place = policy_.take(layer, expert);
  }
  ExpertSlot& taken = slot(place.slot);
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
  taken.is_inherited = taken.state == ExpertSlotState::loading;
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
    const ExpertSlot& read = slots_[index];
    const bool is_well = reader_->status(index).ok();
    if (!is_well && read.is_inherited && read.n_pins > 0)
      load(static_cast<int32_t>(index), read.layer, read.expert, true);
    else
      end_read(static_cast<int32_t>(index), is_well);
  }
  if (waits) counters_.wait_us += static_cast<uint64_t>(read_clock_us() - begin);
}

void PagedExpertStore::end_read(int32_t index, bool is_well) noexcept {
  ExpertSlot& read = slot(index);
  read.state = is_well ? ExpertSlotState::ready : ExpertSlotState::failed;
  if (!is_well) policy_.drop(index);
  for (; read.n_kept_pins > 0; --read.n_kept_pins) policy_.release(index);
}

size_t PagedExpertStore::gather(std::span<ExpertPin> pins, bool waits) {
  poll(false);
  while (true) {
    size_t n = 0;
    for (ExpertPin& pin : pins)
      if (slot(pin.slot).state != ExpertSlotState::loading) std::swap(pin, pins[n++]);
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
  } catch (...) {
    return why;
  }
}

Status PagedExpertStore::wait(const ExpertPin& pin, ExpertWeights& weights) {
  ExpertSlot& from = slot(pin.slot);
  while (from.state == ExpertSlotState::loading) poll(true);
  if (from.state == ExpertSlotState::failed) return why_failed(pin);
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
    ExpertSlot& from = slot(pin.slot);
    assert(from.n_pins > 0);
    --from.n_pins;
    if (from.state != ExpertSlotState::loading) {
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
  return ExpertPolicy::bytes(shape) + n_slots * sizeof(ExpertSlot) +
         WeightReader::bytes_for(n_slots, layout.max_pieces(slots)) + kMostThreads * kThreadBytes;
}

}  // namespace larder::runtime
