// How much each input of each weight matrix matters: the sums of squares of the activations that
// met it, and how many rows they were.
//
// A file is GGUF as llama-imatrix writes it: general.type is "imatrix"; imatrix.datasets,
// imatrix.chunk_count, imatrix.chunk_size; for each tensor T of the model the float32 tensors
// T.in_sum2, [n_matrices][n_columns], and T.counts, [n_matrices][1]. Source: llama.cpp's
// imatrix tool, 2026-08.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/status.h"

namespace larder::runtime {

struct TensorImportance {
  int64_t n_columns = 0;
  std::vector<double> sums;    // [n_matrices][n_columns], of squares
  std::vector<double> counts;  // [n_matrices], of rows

  size_t n_matrices() const noexcept { return counts.size(); }
  bool is_known() const noexcept;  // some row met it
};

struct Importance {
  std::vector<std::string> datasets;
  int64_t n_chunks = 0;
  int64_t chunk_tokens = 0;
  std::map<std::string, TensorImportance, std::less<>> tensors;  // by the model's names
};

// Also of the old kind, named *.dat or *.imatrix, where a stack of matrices counts as one of all
// their columns.
// Errors: those of the reader; `magic` for another kind of file; `missing`, `shape`, `tensor_type`,
// `numeric` (a figure that is negative or not finite), naming the tensor.
Result<Importance> read_importance(const std::string& path);

// Whole or not at all; sums become float32, tensors that no row met are left out. Errors: those of
// GgufWriter.
Status write_importance(const Importance& importance, const std::string& path);

// Adds the figures of `from`, which tells of other chunks of the same model. Error: `shape`, naming
// the tensor; nothing is added then.
Status merge(Importance& into, const Importance& from);

}  // namespace larder::runtime
