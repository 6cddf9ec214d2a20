#include "apps/pass_watchers.h"

#include <algorithm>

#include "runtime/model/token_work.h"

namespace larder::apps {

void PartClock::part_done(runtime::PassPart part) {
  const double now = watch_.seconds();
  seconds_[static_cast<size_t>(part)] += now - last_;
  last_ = now;
}

ExpertCounter::ExpertCounter(const runtime::Model& model) {
  int32_t n_experts = 0;
  for (const runtime::LayerConfig& layer : model.config().layers) {
    n_experts = std::max(n_experts, layer.router.n_experts);
  }
  is_touched_.resize(static_cast<size_t>(n_experts));
  for (const runtime::LayerWeights& layer : model.weights().layers) {
    expert_bytes_.push_back(runtime::expert_work(layer).bytes);
  }
}

void ExpertCounter::routes(int layer, int32_t* experts, float*, int n_rows, int n_active) {
  std::fill(is_touched_.begin(), is_touched_.end(), false);
  for (int64_t i = 0; i < int64_t{n_rows} * n_active; ++i) {
    is_touched_[static_cast<size_t>(experts[i])] = true;
  }
  const auto n = static_cast<uint64_t>(std::count(is_touched_.begin(), is_touched_.end(), true));
  n_touched_ += n;
  bytes_touched_ += n * expert_bytes_[static_cast<size_t>(layer)];
  ++n_layer_passes_;
}

void ExpertCounter::forget() { n_touched_ = bytes_touched_ = n_layer_passes_ = 0; }

}  // namespace larder::apps
