// Weights of one format to weights of another, on all threads. Every block gets the scales by which
// its squared error, each weight counted with its column's importance, is the least that a search
// finds; the same bytes on every instruction set and for any number of threads.
#pragma once

#include <vector>

#include "quant/kernel_set.h"
#include "quant/parallel.h"

namespace larder::quant {

// Rows to be quantised anew.
struct RequantizeRows {
  Format from = Format::f32;
  const uint8_t* rows = nullptr;  // [n_rows] of row_bytes(from, n_cols)
  int64_t n_rows = 0;
  int64_t n_cols = 0;  // a multiple of both formats' blocks
  Format to = Format::f32;
  const float* importance = nullptr;  // [n_cols], or null: all columns count alike
  uint8_t* out = nullptr;             // [n_rows] of row_bytes(to, n_cols), or null: only looked at
};

class Requantizer {
 public:
  // For rows of at most so many weights. `parallel` is used by no other thread meanwhile.
  Requantizer(const KernelSet& kernels, Parallel& parallel, int64_t most_cols);

  // The first weight, counted from the first of the rows, that is not finite, or does not fit the
  // float16 it shall become; -1 if there is none. What is written where there is one is worthless.
  int64_t run(const RequantizeRows& rows) noexcept;

 private:
  int64_t run_range(const RequantizeRows& rows, int64_t first, int64_t n, float* floats) noexcept;

  const KernelSet& kernels_;
  Parallel& parallel_;
  int64_t floats_per_thread_;
  std::vector<float> floats_;
};

}  // namespace larder::quant
