// The importance of a tensor's columns, as the quantisers take it.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "runtime/importance/importance.h"

namespace larder::runtime {

class ColumnImportance {
 public:
  ColumnImportance() = default;  // nothing is known
  // Mean squares of the activations. One matrix's figures serve all of a stack. Error: `shape`.
  static Result<ColumnImportance> create(const Importance* importance,
                                         const formats::GgufTensor& tensor);

  bool is_known() const noexcept { return !means_.empty(); }
  // [n_cols] of one matrix of the stack, or null where no row met it.
  const float* of(uint64_t matrix) const noexcept;

 private:
  size_t n_cols_ = 0;
  std::vector<float> means_;  // [n_matrices][n_cols]
  std::vector<bool> is_met_;  // [n_matrices]
};

}  // namespace larder::runtime
