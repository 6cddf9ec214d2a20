#include "runtime/forward/expert_wave.h"

#include <algorithm>

#include "runtime/forward/pass.h"

namespace larder::runtime {
namespace {

// Where the input row of each slot is, in every form that the layer's experts may read.
void gather_inputs(const Pass& pass, int64_t slot, int64_t row) noexcept {
  for (int format = 0; format < quant::kActivationFormats; ++format) {
    const void* const* rows =
        pass.space.input.pointers(static_cast<quant::ActivationFormat>(format));
    if (rows) pass.space.gathered[format][slot] = rows[row];
  }
}

quant::ActivationRows gathered_rows(const Pass& pass, const quant::Matrix& weights, int32_t first,
                                    int32_t n) noexcept {
  const quant::ActivationFormat format =
      quant::activation_for(weights.format, pass.matmul.arithmetic);
  return {pass.space.gathered[static_cast<size_t>(format)] + first, n};
}

}  // namespace

void ExpertWave::begin(const LayerStep& layer) noexcept {
  *this = {};
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const RouterConfig& router = layer.config.router;
  const int64_t n_choices = int64_t{pass.n_rows()} * router.n_active;
  if (pass.faults.router.is_raised() || !pass.status.ok() || n_choices == 0) return;

  // A counting sort: first_slot[e + 1] counts, then sums, then walks.
  int32_t* first = space.first_slot;
  std::fill_n(first, router.n_experts + 1, 0);
  for (int64_t i = 0; i < n_choices; ++i) ++first[space.experts[i] + 1];
  for (int32_t e = 0; e < router.n_experts; ++e) {
    if (first[e + 1] > 0) space.used[n_used_++] = e;
    first[e + 1] += first[e];
  }
  for (int64_t i = 0; i < n_choices; ++i) {
    const int32_t slot = first[space.experts[i]]++;
    space.slot_of[i] = slot;
    space.choice_of[slot] = static_cast<int32_t>(i);
    gather_inputs(pass, slot, i / router.n_active);
  }
  for (int32_t e = router.n_experts; e > 0; --e) first[e] = first[e - 1];
  first[0] = 0;
}

int32_t ExpertWave::pin_next(const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  pass.experts.release({pass.space.pins, static_cast<size_t>(n_pinned_)});
  n_pinned_ = 0;
  if (!pass.status.ok() || n_taken_ == n_used_) return 0;
  const int32_t n = std::min(pass.experts.max_pins(layer.index), n_used_ - n_taken_);
  const auto count = static_cast<size_t>(n);
  pass.status = pass.experts.request(layer.index, {pass.space.used + n_taken_, count},
                                     {pass.space.pins, count});
  if (!pass.status.ok()) return 0;
  n_pinned_ = n;
  return n;
}

void ExpertWave::next(const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const int32_t n = pin_next(layer);
  n_up_jobs_ = n_down_jobs_ = 0;
  n_slots_ = n_shared_rows_ = 0;
  if (is_first_ && layer.config.shared != SharedExpert::none) add_shared(layer);
  is_first_ = false;
  if (n == 0) return;

  first_slot_ = space.first_slot[space.used[n_taken_]];
  for (int32_t i = 0; i < n; ++i) {
    ExpertWeights weights;
    pass.status = pass.experts.wait(space.pins[i], weights);
    if (!pass.status.ok()) {
      n_up_jobs_ = n_down_jobs_ = 0;
      pass.experts.release({space.pins, static_cast<size_t>(n_pinned_)});
      n_pinned_ = 0;
      return;
    }
    add_expert(layer, space.used[n_taken_ + i], weights);
  }
  n_taken_ += n;
}

void ExpertWave::add_expert(const LayerStep& layer, int32_t expert,
                            const ExpertWeights& weights) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const int32_t first = space.first_slot[expert], n = space.first_slot[expert + 1] - first;
  const size_t stride = space.hidden.stride();
  const auto at = static_cast<size_t>(first);
  space.up_jobs[n_up_jobs_++] = {
      weights.gate, gathered_rows(pass, weights.gate, first, n), {space.hidden.row(first), stride}};
  space.up_jobs[n_up_jobs_++] = {
      weights.up, gathered_rows(pass, weights.up, first, n), {space.up + at * stride, stride}};
  const quant::ActivationFormat form =
      quant::activation_for(weights.down.format, pass.matmul.arithmetic);
  const auto d_model = static_cast<size_t>(pass.config.d_model);
  space.down_jobs[n_down_jobs_++] = {
      weights.down, space.hidden.rows(form, first, n), {space.down + at * d_model, d_model}};
  n_slots_ += n;
}

void ExpertWave::add_shared(const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const LayerWeights& w = layer.weights;
  const int32_t n = pass.n_rows();
  const size_t stride = space.shared_hidden.stride();
  quant::MatmulJob gate = multiply(pass, w.shared_gate, space.input, n, space.shared_hidden.row(0));
  quant::MatmulJob up = multiply(pass, w.shared_up, space.input, n, space.shared_up);
  gate.out.stride = up.out.stride = stride;
  space.up_jobs[n_up_jobs_++] = gate;
  space.up_jobs[n_up_jobs_++] = up;
  space.down_jobs[n_down_jobs_++] =
      multiply(pass, w.shared_down, space.shared_hidden, n, space.shared_down);
  n_shared_rows_ = n;
}

}  // namespace larder::runtime
