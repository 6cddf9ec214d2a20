// What a tensor's weights lose when they are quantised.
#pragma once

#include <cstddef>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "quant/parallel.h"
#include "quant/quantize.h"
#include "runtime/importance/importance.h"

namespace larder::runtime {

class WeightRounding {
 public:
  // `importance` may be null. REQUIRES: rows of at most most_cols weights.
  WeightRounding(const quant::KernelSet& kernels, quant::Parallel& parallel, int64_t most_cols,
                 const Importance* importance)
      : kernels_(kernels),
        parallel_(parallel),
        requantizer_(kernels, parallel, most_cols),
        importance_(importance) {}

  // The expected square of the error of what the tensor's matrices give, relative to the square of
  // what they give: sum of a (q - w)^2 over sum of a w^2, with a the sum of squares of the
  // activations that met the weight's column; experts count by their use. Without importance a
  // is 1. With `rounded`, which then holds the rounded weights in the tensor's own type. Errors:
  // `numeric`, `shape` of the importance.
  Result<double> error(const formats::GgufFile& file, const formats::GgufTensor& tensor,
                       quant::Format format, std::vector<std::byte>* rounded = nullptr);

 private:
  struct Sums {
    double error = 0, weight = 0;
  };
  Sums add_rows(quant::Format source, const uint8_t* rows, quant::Format format, int64_t n,
                int64_t n_cols, const float* importance);

  const quant::KernelSet& kernels_;
  quant::Parallel& parallel_;
  quant::Requantizer requantizer_;
  const Importance* importance_;
  std::vector<uint8_t> quantized_;  // [rows of a piece]
  std::vector<float> floats_;       // [n_threads][2][n_cols]
  std::vector<Sums> row_sums_;      // [rows of a piece]
};

}  // namespace larder::runtime
