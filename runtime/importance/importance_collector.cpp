#include "runtime/importance/importance_collector.h"

#include <new>
#include <set>
#include <string>
#include <utility>

#include "runtime/importance/weight_places.h"

namespace larder::runtime {

Result<ImportanceCollector> ImportanceCollector::create(const Model& model) try {
  const Result<WeightPlaces> places = find_weight_places(model);
  if (!places) return places.status();
  ImportanceCollector collector;
  for (const auto& [weight, of_weight] : *places) {
    for (const WeightPlace& place : of_weight) {
      const formats::GgufTensor& tensor = *place.tensor;
      TensorImportance& sums = collector.importance_.tensors[std::string(tensor.name)];
      sums.n_columns = static_cast<int64_t>(tensor.dims[0]);
      sums.counts.resize(tensor.dims[2]);
      sums.sums.resize(tensor.dims[0] * tensor.dims[2]);
    }
  }
  // Of the matrices that a file has as one, the first in memory counts: all meet the same rows.
  std::map<std::pair<const formats::GgufTensor*, int32_t>, const quant::Matrix*> counting;
  for (const auto& [weight, of_weight] : *places)
    for (const WeightPlace& place : of_weight) {
      const auto [at, is_new] = counting.emplace(std::pair(place.tensor, place.index), weight);
      if (!is_new && std::less<>()(weight, at->second)) at->second = weight;
    }
  for (const auto& [weight, of_weight] : *places) {
    for (const WeightPlace& place : of_weight) {
      TensorImportance& own = collector.importance_.tensors.find(place.tensor->name)->second;
      const auto index = static_cast<size_t>(place.index);
      const bool counts = counting.at({place.tensor, place.index}) == weight;
      collector.sums_[weight].push_back(
          counts ? Sums{own.sums.data() + index * static_cast<size_t>(own.n_columns),
                        &own.counts[index]}
                 : Sums{});
    }
  }
  return collector;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<uint64_t> ImportanceCollector::bytes_for(const Model& model) try {
  const Result<WeightPlaces> places = find_weight_places(model);
  if (!places) return places.status();
  std::set<const formats::GgufTensor*> tensors;
  for (const auto& [weight, of_weight] : *places)
    for (const WeightPlace& place : of_weight) tensors.insert(place.tensor);
  uint64_t n = 0;
  for (const formats::GgufTensor* tensor : tensors) n += (tensor->dims[0] + 1) * tensor->dims[2];
  return n * sizeof(double);
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

void ImportanceCollector::read(const WeightInput& input) noexcept {
  const auto found = sums_.find(input.weight);
  if (found == sums_.end() || static_cast<size_t>(input.index) >= found->second.size()) return;
  const Sums& own = found->second[static_cast<size_t>(input.index)];
  if (!own.sums) return;
  const int32_t n_cols = input.weight->n_cols;
  for (int32_t i = 0; i < input.n_rows; ++i) {
    const float* row = input.row(i);
    const double scale = input.scale(i);
    for (int32_t c = 0; c < n_cols; ++c) {
      const double x = scale * static_cast<double>(row[c]);
      own.sums[c] += x * x;
    }
  }
  *own.count += input.n_rows;
}

}  // namespace larder::runtime
