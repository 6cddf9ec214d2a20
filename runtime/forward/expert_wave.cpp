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

  pass.experts.observe({layer.index,
                        {space.experts, static_cast<size_t>(n_choices)},
                        router.n_active,
                        static_cast<int32_t>(pass.sequences.size())});
  // A counting sort: first_slot[e + 1] counts, then sums, then walks.
  int32_t* first = space.first_slot;
  std::fill_n(first, router.n_experts + 1, 0);
  for (int64_t i = 0; i < n_choices; ++i) ++first[space.experts[i] + 1];
  for (int32_t e = 0; e < router.n_experts; ++e) first[e + 1] += first[e];
  order_experts(layer);
  for (int64_t i = 0; i < n_choices; ++i) {
    const int32_t slot = first[space.experts[i]]++;
    space.slot_of[i] = slot;
    space.choice_of[slot] = static_cast<int32_t>(i);
    gather_inputs(pass, slot, i / router.n_active);
  }
  for (int32_t e = router.n_experts; e > 0; --e) first[e] = first[e - 1];
  first[0] = 0;
}

// Those at hand first, so that they are pinned before others take their places.
void ExpertWave::order_experts(const LayerStep& layer) noexcept {
  const Workspace& space = layer.pass.space;
  const ExpertStore& store = layer.pass.experts;
  for (const bool is_at_hand : {true, false}) {
    for (int32_t e = 0; e < layer.config.router.n_experts; ++e)
      if (space.first_slot[e + 1] > space.first_slot[e] && store.has(layer.index, e) == is_at_hand)
        space.used[n_used_++] = e;
  }
}

void ExpertWave::release(const LayerStep& layer, int32_t n) noexcept {
  ExpertPin* pins = layer.pass.space.pins;
  layer.pass.experts.release({pins, static_cast<size_t>(n)});
  std::copy(pins + n, pins + n_pinned_, pins);
  n_pinned_ -= n;
}

void ExpertWave::request(const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  const int32_t n =
      std::min(pass.experts.max_pins(layer.index) - n_pinned_, n_used_ - n_requested_);
  if (n <= 0) return;
  const auto count = static_cast<size_t>(n);
  pass.status = pass.experts.request(layer.index, {pass.space.used + n_requested_, count},
                                     {pass.space.pins + n_pinned_, count});
  if (!pass.status.ok()) return;
  n_requested_ += n;
  n_pinned_ += n;
}

void ExpertWave::next(const LayerStep& layer, Arrivals arrivals) noexcept {
  Pass& pass = layer.pass;
  release(layer, n_running_);
  n_running_ = 0;
  n_up_jobs_ = n_down_jobs_ = 0;
  n_slots_ = n_shared_rows_ = 0;
  // A layer of many experts on their way takes longer than a person waits.
  if (pass.status.ok() && n_pinned_ > 0 && pass.cancel &&
      pass.cancel->load(std::memory_order_relaxed))
    pass.status = Status(Cause::cancelled, "cancelled");
  if (pass.status.ok()) request(layer);
  if (is_first_ && layer.config.shared != SharedExpert::none) add_shared(layer);
  is_first_ = false;
  if (pass.status.ok()) add_arrived(layer, arrivals == Arrivals::awaited && is_empty());
  if (pass.status.ok()) return;
  n_up_jobs_ = n_down_jobs_ = 0;
  n_slots_ = n_shared_rows_ = 0;
  release(layer, n_pinned_);
}

void ExpertWave::add_arrived(const LayerStep& layer, bool waits) noexcept {
  Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  n_running_ = static_cast<int32_t>(
      pass.experts.gather({space.pins, static_cast<size_t>(n_pinned_)}, waits));
  for (int32_t i = 0; i < n_running_; ++i) {
    ExpertWeights weights;
    pass.status = pass.experts.wait(space.pins[i], weights);
    if (!pass.status.ok()) return;
    add_expert(layer, space.pins[i].expert, weights);
  }
}

void ExpertWave::add_expert(const LayerStep& layer, int32_t expert,
                            const ExpertWeights& weights) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const int32_t first = space.first_slot[expert], n = space.first_slot[expert + 1] - first;
  const size_t stride = space.hidden.stride();
  const auto at = static_cast<size_t>(first);
  const auto add_up = [&](const quant::Matrix& matrix, float* out) {
    space.up_jobs[n_up_jobs_++] = {matrix, gathered_rows(pass, matrix, first, n), {out, stride}};
  };
  const bool is_gated = weights.gate.data != nullptr;
  if (is_gated) add_up(weights.gate, space.hidden.row(first));
  add_up(weights.up, is_gated ? space.up + at * stride : space.hidden.row(first));
  const quant::ActivationFormat form =
      quant::activation_for(weights.down.format, pass.matmul.arithmetic);
  const auto d_model = static_cast<size_t>(pass.config.d_model);
  space.down_jobs[n_down_jobs_++] = {
      weights.down, space.hidden.rows(form, first, n), {space.down + at * d_model, d_model}};
  for (int32_t i = 0; i < n; ++i) space.wave_slots[n_slots_++] = first + i;
}

void ExpertWave::add_shared(const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const LayerWeights& w = layer.weights;
  const int32_t n = pass.n_rows();
  const size_t stride = space.shared_hidden.stride();
  const auto add_up = [&](const quant::Matrix& matrix, float* out) {
    quant::MatmulJob job = multiply(pass, matrix, space.input, n, out);
    job.out.stride = stride;
    space.up_jobs[n_up_jobs_++] = job;
  };
  const bool is_gated = w.shared_gate.data != nullptr;
  if (is_gated) add_up(w.shared_gate, space.shared_hidden.row(0));
  add_up(w.shared_up, is_gated ? space.shared_up : space.shared_hidden.row(0));
  space.down_jobs[n_down_jobs_++] =
      multiply(pass, w.shared_down, space.shared_hidden, n, space.shared_down);
  n_shared_rows_ = n;
}

}  // namespace larder::runtime
