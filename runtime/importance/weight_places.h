// Which tensor of the file each matrix of a model's weights is.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "runtime/model/model.h"

namespace larder::runtime {

struct WeightPlace {
  const formats::GgufTensor* tensor = nullptr;
  int32_t index = 0;  // of the matrix among the tensor's dims[2]
};

// By the matrix in ModelWeights (of a stack, its first), then by index in its stack.
using WeightPlaces = std::unordered_map<const quant::Matrix*, std::vector<WeightPlace>>;

// Of all matrices but routers and the embedding, which are not multiplied in blocks. Holds for as
// long as the model. Matrices that are parts of one matrix of the file have the same place. Errors:
// those of bind_weights, which the model has passed before.
Result<WeightPlaces> find_weight_places(const Model& model);

}  // namespace larder::runtime
