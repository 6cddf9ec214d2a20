#include "runtime/importance/weight_places.h"

#include <algorithm>
#include <functional>
#include <map>

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufTensor;

class TensorsByAddress {
 public:
  explicit TensorsByAddress(const GgufFile& file) : file_(file) {
    for (const GgufTensor& tensor : file.tensors()) tensors_[address_of(tensor)] = &tensor;
  }

  // REQUIRES: `data` lies in a tensor.
  WeightPlace at(const uint8_t* data) const {
    const GgufTensor& tensor = *std::prev(tensors_.upper_bound(data))->second;
    const uint64_t matrix_bytes = tensor.row_bytes() * tensor.dims[1];
    const auto offset = static_cast<uint64_t>(data - address_of(tensor));
    return {&tensor, static_cast<int32_t>(offset / matrix_bytes)};
  }

 private:
  const uint8_t* address_of(const GgufTensor& tensor) const {
    return reinterpret_cast<const uint8_t*>(file_.data(tensor).data());
  }

  const GgufFile& file_;
  std::map<const uint8_t*, const GgufTensor*, std::less<>> tensors_;
};

// A matrix, or a stack of them: where the file has each.
struct MappedWeight {
  const quant::Matrix* first;
  std::vector<const uint8_t*> data;
};

void add(std::vector<MappedWeight>& list, const quant::Matrix& matrix) {
  list.push_back({&matrix, {matrix.data}});
}

void add(std::vector<MappedWeight>& list, const ExpertStack& stack) {
  MappedWeight weight = {&stack.first, {}};
  for (const ExpertStack::Place& place : stack.places) weight.data.push_back(place.data);
  list.push_back(std::move(weight));
}

void add(std::vector<MappedWeight>& list, const HeadStack& stack, int32_t n_heads) {
  MappedWeight weight = {&stack.first, {}};
  for (int32_t h = 0; h < n_heads && stack.first.data; ++h)
    weight.data.push_back(stack.head(h).data);
  list.push_back(std::move(weight));
}

// All in one order, whatever is there: two models of one file have the same list but for addresses.
std::vector<MappedWeight> list_weights(const ModelWeights& weights, const ModelConfig& config) {
  std::vector<MappedWeight> list;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& w = weights.layers[i];
    const int32_t n_heads = config.layers[i].n_heads;
    for (const Linear* linear : {&w.q, &w.k, &w.v, &w.attn_output, &w.conv_input, &w.mixed_gate,
                                 &w.rates_and_steps, &w.rates, &w.steps, &w.q_a, &w.kv_a,
                                 &w.source_q, &w.source_k, &w.source_v, &w.source_output})
      add(list, linear->weight);
    for (const HeadStack* heads : {&w.k_b_transposed, &w.k_b, &w.v_b}) add(list, *heads, n_heads);
    for (const ExpertStack* experts : {&w.gate, &w.up, &w.down}) add(list, *experts);
    for (const quant::Matrix* matrix : {&w.shared_gate, &w.shared_up, &w.shared_down})
      add(list, *matrix);
  }
  add(list, weights.output.weight);
  return list;
}

}  // namespace

Result<WeightPlaces> find_weight_places(const Model& model) {
  // The model's own weights may have been read into other memory.
  ModelConfig config = model.config();
  const Result<ModelWeights> mapped = bind_weights(model.file(), config);
  if (!mapped) return mapped.status();
  const std::vector<MappedWeight> in_file = list_weights(*mapped, config);
  const std::vector<MappedWeight> own = list_weights(model.weights(), model.config());
  const TensorsByAddress tensors(model.file());
  WeightPlaces places;
  for (size_t i = 0; i < own.size(); ++i) {
    if (!own[i].first->data && in_file[i].data.empty()) continue;
    for (const uint8_t* data : in_file[i].data)
      if (data) places[own[i].first].push_back(tensors.at(data));
  }
  return places;
}

}  // namespace larder::runtime
