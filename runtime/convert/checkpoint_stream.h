// A checkpoint's tensors as bytes of a file: read in spans, put in order, made the type planned.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "formats/safetensors/safetensors_set.h"
#include "formats/status.h"
#include "quant/parallel.h"
#include "quant/quantize.h"
#include "runtime/convert/checkpoint_tensors.h"
#include "runtime/convert/element_reader.h"

namespace larder::runtime {

class CheckpointStream {
 public:
  // What takes the bytes, in order.
  using Sink = std::function<Status(std::span<const std::byte> bytes)>;

  // REQUIRES: no tensor has rows of more than `most_columns`
  CheckpointStream(const formats::SafetensorsSet& set, const quant::KernelSet& kernels,
                   quant::Parallel& parallel, int64_t most_columns)
      : kernels_(kernels), reader_(set), requantizer_(kernels, parallel, most_columns) {}

  // All of one tensor. Errors: those of reading and of the sink; `numeric` naming the tensor and
  // the element that is not finite; `limit` for a matrix too large to be turned in memory.
  Status write(const CheckpointTensor& tensor, const Sink& sink);

 private:
  // Elements [0, n) at `bytes`, whole rows of the tensor.
  Status put(const CheckpointTensor& tensor, quant::Format from, std::span<std::byte> bytes,
             const Sink& sink);
  size_t ask_ahead(std::span<const StridedView> views, size_t i, size_t from);
  Status write_values(const CheckpointTensor& tensor, const Sink& sink);
  Status write_view(const CheckpointTensor& tensor, const StridedView& view, const Sink& sink);
  Status write_contiguous(const CheckpointTensor& tensor, const StridedView& view,
                          const Sink& sink);
  Status write_part(const CheckpointTensor& tensor, const StridedView& part, size_t dim,
                    const Sink& sink);
  Status write_blocks(const StridedView& view, const Sink& sink);

  const quant::KernelSet& kernels_;
  ElementReader reader_;
  quant::Requantizer requantizer_;
  std::vector<std::byte> read_, ordered_, made_;
  uint64_t n_put_ = 0;  // elements of the tensor
};

}  // namespace larder::runtime
