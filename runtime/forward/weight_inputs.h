// What weights multiply: rows of activations as they are before any rounding, shown to whoever
// measures them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "quant/grouped_matmul.h"
#include "quant/parallel.h"

namespace larder::runtime {

struct Pass;
struct LayerStep;

// Rows that meet one matrix of the model: [n_rows][weight->n_cols].
struct WeightInput {
  const quant::Matrix* weight = nullptr;  // in the model's ModelWeights; of a stack, its first
  int32_t index = 0;                      // of the matrix in its stack of experts or heads
  const float* first = nullptr;           // rows `stride` floats apart
  size_t stride = 0;
  int32_t n_rows = 0;
  // Of routed experts' rows, which stand where their choices [row][n_active] say; else null.
  const int32_t* choices = nullptr;  // [n_rows]
  int32_t n_active = 1;
  const float* choice_weights = nullptr;  // what multiplies the input; null: ones

  const float* row(int32_t i) const noexcept {
    return first + static_cast<size_t>(choices ? choices[i] / n_active : i) * stride;
  }
  float scale(int32_t i) const noexcept { return choice_weights ? choice_weights[choices[i]] : 1; }
};

class WeightInputReader {
 public:
  virtual ~WeightInputReader() = default;
  // On any thread of the team, on several at once for different matrices; for one matrix in the
  // order of the pass's rows. All is valid during the call only. A pass that fails may have been
  // shown in part.
  virtual void read(const WeightInput& input) noexcept = 0;
};

// All below are run by every thread of the team, behind a barrier, and do nothing where the pass
// has no reader. Cost without one: a comparison.

// n_rows rows that all of these weights multiply; matrices without data are skipped.
void show_inputs(quant::Team& team, const Pass& pass,
                 std::initializer_list<const quant::Matrix*> weights, const float* first,
                 size_t stride, int32_t n_rows) noexcept;

// Rows of [head][n_rows] that a stack's matrices multiply, head by head.
void show_head_inputs(quant::Team& team, const Pass& pass, const quant::Matrix& weight,
                      int32_t n_heads, const float* first, size_t stride, int32_t n_rows) noexcept;

// Of all experts of a layer, once the last of them is computed.
void show_expert_inputs(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
