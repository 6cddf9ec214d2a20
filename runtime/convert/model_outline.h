// A model without its weights: metadata, rope's factors, and tensors of zeros that take no memory.
// Opening it says whether the file that will have them is a model.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "formats/gguf/gguf_writer.h"
#include "formats/status.h"
#include "runtime/convert/checkpoint_tensors.h"
#include "runtime/model/model.h"

namespace larder::runtime {

class ModelOutline {
 public:
  // Errors: those of opening a model; `name` where the model would not read a tensor.
  static Result<std::unique_ptr<ModelOutline>> create(const formats::GgufWriter& metadata,
                                                      std::span<const CheckpointTensor> tensors);
  ~ModelOutline();
  const formats::GgufFile& file() const noexcept { return model_->file(); }

 private:
  ModelOutline() = default;
  std::span<const std::string> warnings() const noexcept { return model_->warnings(); }

  void* memory_ = nullptr;
  size_t n_bytes_ = 0;
  std::shared_ptr<const Model> model_;
};

}  // namespace larder::runtime
