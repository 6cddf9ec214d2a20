// Which tensors of a checkpoint become which of a file: by names, before anything is read.
#pragma once

#include <string>
#include <vector>

#include "formats/gguf/tensor_type.h"
#include "formats/safetensors/safetensors_set.h"
#include "formats/status.h"
#include "runtime/convert/checkpoint_keys.h"
#include "runtime/convert/family_table.h"
#include "runtime/convert/strided_view.h"

namespace larder::runtime {

struct CheckpointTensor {
  std::string name;            // in the file
  std::vector<uint64_t> dims;  // GGUF's order
  std::vector<StridedView> views;
  std::vector<float> values;  // instead of views, where they come from config.json
  ValueChange change = ValueChange::none;
  // What it will be: the float type it comes in, until a mix chooses.
  const formats::TensorType* type = nullptr;

  bool holds_blocks() const noexcept { return !views.empty() && views.front().scales != nullptr; }
};

struct CheckpointTensors {
  std::vector<CheckpointTensor> tensors;
  // Of the checkpoint: what decoding text does not need, scales of activations among it.
  std::vector<std::string> skipped;
};

// Errors: `name` for a tensor that no row knows, `missing` for an expert that is absent, `shape`,
// `tensor_type`; with the checkpoint's name.
Result<CheckpointTensors> plan_checkpoint_tensors(const FamilyRow& family,
                                                  const formats::SafetensorsSet& set,
                                                  const CheckpointSizes& sizes);

}  // namespace larder::runtime
