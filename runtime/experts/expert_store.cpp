#include "runtime/experts/expert_store.h"

#include <cassert>

namespace larder::runtime {
namespace {

class MappedExpertStore final : public ExpertStore {
 public:
  explicit MappedExpertStore(const ModelWeights& weights) noexcept : weights_(weights) {}

  int32_t max_pins(int layer) const noexcept override { return layer_of(layer).down.n_experts(); }

  void observe(const LayerRoutes&) noexcept override {}
  bool has(int, int32_t) const noexcept override { return true; }

  Status request(int layer, std::span<const int32_t> experts, std::span<ExpertPin> pins) override {
    assert(experts.size() == pins.size());
    for (size_t i = 0; i < experts.size(); ++i) pins[i] = {layer, experts[i], -1};
    return {};
  }

  size_t gather(std::span<ExpertPin> pins, bool) override { return pins.size(); }

  Status wait(const ExpertPin& pin, ExpertWeights& weights) override {
    const LayerWeights& layer = layer_of(pin.layer);
    weights = {layer.gate.expert(pin.expert), layer.up.expert(pin.expert),
               layer.down.expert(pin.expert)};
    return {};
  }

  void release(std::span<const ExpertPin>) noexcept override {}
  size_t bytes() const noexcept override { return 0; }

 private:
  const LayerWeights& layer_of(int layer) const noexcept {
    return weights_.layers[static_cast<size_t>(layer)];
  }
  const ModelWeights& weights_;
};

}  // namespace

void ExpertStore::predict(int, std::span<const int32_t>) noexcept {}

std::unique_ptr<ExpertStore> make_mapped_expert_store(const ModelWeights& weights) {
  return std::make_unique<MappedExpertStore>(weights);
}

}  // namespace larder::runtime
