// What is read before it is asked for: what earlier runs used most, what the next layer will
// choose.
#include <algorithm>
#include <array>

#include "runtime/experts/paged_expert_store_impl.h"

namespace larder::runtime {
namespace {

bool has_chosen(const LayerRoutes& routes, const ExpertSlot& slot) noexcept {
  const auto end = routes.experts.end();
  return slot.layer == routes.layer && std::find(routes.experts.begin(), end, slot.expert) != end;
}

}  // namespace

void PagedExpertStore::import_use(std::span<const float> use, float n_tokens) noexcept {
  policy_.import_use(use, n_tokens);
  if (counters_.n_asked() > 0 || !warming_.empty()) return;
  try {
    warm(use);
  } catch (...) {  // no memory: it begins cold
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
    const ExpertSlot& read = slot(index);
    if (read.state != ExpertSlotState::loading || has_chosen(routes, read)) continue;
    if (reader_->take_back(static_cast<uint32_t>(index))) end_read(index, false);
  }
  warming_.shrink_to_fit();
  reader_->count_busy();
  counters_.bytes_warmed = reader_->bytes_read();
  n_warm_reads_ = reader_->n_reads();
  warm_us_ = reader_->busy_us();
}

// Reads ahead that did not begin, of experts that the layer did not choose after all.
void PagedExpertStore::drop_unchosen(const LayerRoutes& routes) noexcept {
  for (const auto& [index, n_bytes] : ahead_) {
    if (take_back_unchosen(index, routes)) continue;
    ++counters_.n_ahead;
    counters_.bytes_ahead += n_bytes;
  }
  ahead_.clear();
}

bool PagedExpertStore::take_back_unchosen(int32_t index, const LayerRoutes& routes) noexcept {
  const ExpertSlot& read = slot(index);
  if (!read.is_ahead || read.state != ExpertSlotState::loading || read.n_pins > 0) return false;
  if (has_chosen(routes, read) || !reader_->take_back(static_cast<uint32_t>(index))) return false;
  if (read.layer == routes.layer) advisor_.took_back(read.expert);
  end_read(index, false);
  return true;
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
    ExpertSlot& to = slot(place.slot);
    to.is_ahead = true;
    to.n_kept_pins = 1;
    load(place.slot, layer, expert, false);
    ahead_.push_back({place.slot, layout_.spans(layer, expert).read_bytes()});
    advisor_.started(rank);
  }
}

}  // namespace larder::runtime
