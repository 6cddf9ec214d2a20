// One call of the forward pass, as its steps see it. Steps are functions that every thread of the
// team runs; a step begins and ends with all of them together.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "formats/status.h"
#include "quant/parallel.h"
#include "runtime/experts/expert_store.h"
#include "runtime/forward/expert_wave.h"
#include "runtime/forward/forward.h"
#include "runtime/forward/numeric_faults.h"
#include "runtime/forward/position_bias.h"
#include "runtime/forward/rope.h"
#include "runtime/forward/workspace.h"
#include "runtime/model/model.h"

namespace larder::runtime {

struct PassInputs {
  const ModelConfig& config;
  const ModelWeights& weights;
  const quant::KernelSet& kernels;
  quant::MatmulContext matmul;
  const RopeAngles& rope;
  Workspace& space;
  ExpertStore& experts;
  std::span<const TokenRow> rows;
  std::span<SequenceState* const> sequences;
  const PositionBias* position_bias = nullptr;  // of the stack that is run; null: it has none
  int32_t n_logits = 0;                         // rows that want them: space.logit_rows
  int32_t n_logits_at_once = 0;
  ForwardObserver* observer = nullptr;
  WeightInputReader* weight_inputs = nullptr;  // the observer's
  LogitsReader* reader = nullptr;
  const std::atomic<bool>* cancel = nullptr;
};

struct Pass : PassInputs {
  explicit Pass(const PassInputs& inputs) : PassInputs(inputs) {}

  ExpertWave wave;

  // What went wrong. Written by one thread at a time, or raised by any; looked at where the team
  // decides whether to go on.
  Status status;
  NumericFaults faults;
  bool stops = false;

  void observe_by(ForwardObserver* by) noexcept {
    observer = by;
    weight_inputs = by ? by->weight_inputs() : nullptr;
  }
  const quant::VectorKernels& vector() const noexcept { return kernels.vector; }
  int32_t n_rows() const noexcept { return static_cast<int32_t>(rows.size()); }
  SequenceState& sequence_of(int64_t row) const noexcept {
    return *sequences[static_cast<size_t>(rows[static_cast<size_t>(row)].sequence)];
  }
  int32_t n_sequences() const noexcept { return static_cast<int32_t>(sequences.size()); }
  // The rows of one sequence, in order.
  std::span<const int32_t> rows_of(int32_t sequence) const noexcept {
    const int32_t begin = space.first_of_sequence[sequence];
    return {space.rows_by_sequence + begin,
            static_cast<size_t>(space.first_of_sequence[sequence + 1] - begin)};
  }
  int32_t position_of(int64_t row) const noexcept {
    return rows[static_cast<size_t>(row)].position;
  }
  // Positions that the row's sequence will have behind this pass; an encoder's: of its source.
  int32_t length_of(int64_t row) const noexcept {
    return space.sequence_lengths[rows[static_cast<size_t>(row)].sequence];
  }
  float* stream(int64_t row) const noexcept { return space.stream + row * config.d_model; }
  float* branch(int64_t row) const noexcept { return space.branch + row * config.d_model; }
};

// A layer of a pass.
struct LayerStep {
  Pass& pass;
  int index;
  const LayerConfig& config;
  const LayerWeights& weights;
};

inline LayerStep layer_of(Pass& pass, int index) noexcept {
  const auto at = static_cast<size_t>(index);
  return {pass, index, pass.config.layers[at], pass.weights.layers[at]};
}

// out[row] = input[row] . weight for all rows of `from`.
inline quant::MatmulJob multiply(const Pass& pass, const quant::Matrix& weight,
                                 const ActivationBuffer& from, int32_t n_rows, float* out) {
  return {weight,
          from.rows(quant::activation_for(weight.format, pass.matmul.arithmetic), 0, n_rows),
          {out, static_cast<size_t>(weight.n_rows)}};
}

}  // namespace larder::runtime
