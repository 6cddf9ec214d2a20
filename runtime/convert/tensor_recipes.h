// What the recipes of family_table make of one tensor: views of it, and the shape that they fill.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/status.h"
#include "runtime/convert/checkpoint_keys.h"
#include "runtime/convert/family_table.h"
#include "runtime/convert/strided_view.h"

namespace larder::runtime {

struct ViewedTensor {
  std::vector<uint64_t> dims;  // GGUF's order, the contiguous one first
  std::vector<StridedView> views;
};

// Error: `shape` where the tensor is not what the recipe is for.
Result<ViewedTensor> apply_recipe(Recipe recipe, const formats::SafetensorsTensor& tensor,
                                  const CheckpointSizes& sizes);

}  // namespace larder::runtime
