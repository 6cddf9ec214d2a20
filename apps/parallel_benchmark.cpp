#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "apps/benchmark.h"
#include "apps/logits_sampler.h"
#include "apps/pass_watchers.h"
#include "apps/signals.h"
#include "apps/timings.h"
#include "quant/dispatch.h"
#include "runtime/forward/forward.h"
#include "runtime/model/token_work.h"
#include "runtime/session/residence.h"
#include "runtime/session/sequence_state.h"

namespace larder::apps {
namespace {

using formats::TokenId;
using runtime::SequenceState;

// Sequences that share a forward pass and a past, and go on apart.
class Crowd {
 public:
  static Result<std::unique_ptr<Crowd>> create(std::shared_ptr<const runtime::Model> model,
                                               const runtime::SessionOptions& session,
                                               const BenchmarkOptions& options);
  Status measure(int32_t depth, Benchmark& result);

 private:
  Crowd(std::shared_ptr<const runtime::Model> model, const BenchmarkOptions& options,
        const runtime::SamplerOptions& sampling, int n_threads)
      : model_(std::move(model)),
        options_(options),
        counter_(*model_),
        sampler_(sampling, model_->config().n_vocab, n_threads) {}
  Status fill(int32_t depth);
  Status step(std::span<const TokenId> tokens);
  Measurement plan(int32_t depth) const;
  void count_experts(Measurement& m) const;
  runtime::TokenWork work() const noexcept;

  std::shared_ptr<const runtime::Model> model_;
  const BenchmarkOptions& options_;
  std::unique_ptr<runtime::Forward> forward_;
  std::vector<std::unique_ptr<SequenceState>> states_;
  std::vector<SequenceState*> sequences_;
  ExpertCounter counter_;
  LogitsSampler sampler_;
};

Result<std::unique_ptr<Crowd>> Crowd::create(std::shared_ptr<const runtime::Model> model,
                                             const runtime::SessionOptions& session,
                                             const BenchmarkOptions& options) {
  const auto n_sequences = static_cast<uint64_t>(options.n_parallel);
  runtime::ResidenceOptions with;
  with.n_ctx = *std::max_element(options.depths.begin(), options.depths.end()) + options.n_predict;
  with.cache = {*session.cache_k, *session.cache_v};
  with.ram_bytes = session.ram_bytes;
  with.n_samplers = session.n_threads;
  with.forward.arithmetic = session.exact ? quant::Arithmetic::exact : quant::Arithmetic::integer;
  with.forward.n_threads = session.n_threads;
  with.forward.max_rows = std::max(session.batch_size, options.n_parallel);
  with.forward.max_logits = options.n_parallel;
  with.forward.max_positions = session.n_ctx;
  with.forward.kernels = session.isa.empty() ? nullptr : quant::find_kernels(session.isa);
  const uint64_t cache_bytes =
      SequenceState::bytes_for(model->config(), with.n_ctx, with.cache, with.forward.max_rows);
  if (__builtin_mul_overflow(cache_bytes, n_sequences, &with.cache_bytes))
    return Status::out_of_memory();
  const auto sampling = runtime::sampler_options_from(model->file());
  if (!sampling) return sampling.status();
  const auto ram = runtime::plan_ram(*model, with);
  if (!ram) return ram.status().with_file(model->file().path());
  auto residence = runtime::take_residence(std::move(model), *ram,
                                           [](uint64_t, uint64_t) { return !is_ending(); });
  if (!residence) return residence.status();
  with.forward.experts = residence->experts;

  std::unique_ptr<Crowd> crowd(new Crowd(residence->model, options, *sampling, session.n_threads));
  for (int32_t i = 0; i < options.n_parallel; ++i) {
    if (is_ending()) return Status(Cause::cancelled, "interrupted");
    auto state = SequenceState::create(residence->model->config(), with.n_ctx, with.cache,
                                       with.forward.max_rows);
    if (!state) return state.status();
    crowd->sequences_.push_back(state->get());
    crowd->states_.push_back(std::move(*state));
  }
  auto forward = runtime::Forward::create(residence->model, with.forward);
  if (!forward) return forward.status();
  crowd->forward_ = std::move(*forward);
  return crowd;
}

// All sequences hold the same past; each has a copy of its keys and values.
Status Crowd::fill(int32_t depth) {
  for (SequenceState* state : sequences_) state->truncate(0);
  const std::vector<TokenId> before = SpreadTokens(model_->config().n_vocab).next(depth);
  std::vector<runtime::TokenRow> rows;
  SequenceState* const first[] = {sequences_.front()};
  for (int32_t done = 0; done < depth; done += static_cast<int32_t>(rows.size())) {
    rows.clear();
    const int32_t end = std::min(depth, done + forward_->options().max_rows);
    for (int32_t i = done; i < end; ++i) rows.push_back({before[static_cast<size_t>(i)], i, 0});
    if (Status s = forward_->run(rows, first, &ending_flag()); !s.ok()) return s;
  }
  for (size_t i = 1; i < sequences_.size() && !is_ending(); ++i)
    sequences_[i]->copy_from(*sequences_[0]);
  return {};
}

// tokens: one of each sequence.
Status Crowd::step(std::span<const TokenId> tokens) {
  std::vector<runtime::TokenRow> rows;
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows.push_back({tokens[i], sequences_[i]->n_positions(), static_cast<int32_t>(i), true});
  }
  counter_.start();
  const Status status = forward_->run(rows, sequences_, &ending_flag(), &counter_, &sampler_);
  sampler_.end_pass();
  return status;
}

runtime::TokenWork Crowd::work() const noexcept {
  return runtime::token_work(model_->config(), model_->weights(), states_.front()->types());
}

// Operations of all tokens. Bytes: what does not depend on the routing, weights read once a step
// and a past of each sequence.
Measurement Crowd::plan(int32_t depth) const {
  Measurement m;
  m.way = Way::parallel;
  m.depth = depth;
  m.n_sequences = options_.n_parallel;
  m.n_tokens = options_.n_parallel * options_.n_predict;
  const bool is_exact = forward_->options().arithmetic == quant::Arithmetic::exact;
  uint64_t active_bytes = 0;  // of the experts of one token
  for (size_t i = 0; i < model_->weights().layers.size(); ++i) {
    active_bytes += static_cast<uint64_t>(model_->config().layers[i].router.n_active) *
                    runtime::expert_work(model_->weights().layers[i]).bytes;
  }
  const runtime::TokenWork work = this->work();
  m.is_int8 = !is_exact && 2 * work.body.int8_ops > work.body.ops;
  const auto n = static_cast<uint64_t>(options_.n_parallel);
  const uint64_t weight_bytes = work.body.bytes + work.head.bytes;
  for (int32_t i = 0; i < options_.n_predict; ++i) {
    const runtime::Work one = work.decode(depth + i + 1);
    m.ops += n * one.ops;
    m.bytes += n * (one.bytes - weight_bytes) + weight_bytes - active_bytes;
  }
  return m;
}

void Crowd::count_experts(Measurement& m) const {
  if (counter_.n_layer_passes() == 0) return;
  m.bytes += counter_.bytes_touched() / static_cast<uint64_t>(options_.repetitions);
  m.n_distinct_experts =
      static_cast<double>(counter_.n_touched()) / static_cast<double>(counter_.n_layer_passes());
}

// As for one sequence: once unmeasured, and tokens of its own for each repetition.
Status Crowd::measure(int32_t depth, Benchmark& result) {
  Measurement m = plan(depth);
  const auto n = static_cast<size_t>(options_.n_parallel);
  SpreadTokens spread(model_->config().n_vocab);
  const runtime::ExpertStore& store = *forward_->options().experts;
  std::optional<runtime::ExpertStatistics> unmeasured;  // none of mapped experts
  if (Status s = fill(depth); !s.ok()) return s;
  for (int i = 0; i <= options_.repetitions; ++i) {
    bool is_back = true;
    for (SequenceState* state : sequences_) is_back &= state->truncate(depth) == depth;
    if (!is_back) {  // of carried states or windows none was kept there
      if (Status s = fill(depth); !s.ok()) return s;
    }
    if (i == 1) {
      unmeasured = store.statistics();
      counter_.forget();
      counter_.reset();
      sampler_.reset();
    }
    const std::vector<TokenId> tokens = spread.next(m.n_tokens);
    const Stopwatch watch;
    for (size_t at = 0; at < tokens.size(); at += n) {
      if (Status s = step(std::span(tokens).subspan(at, n)); !s.ok()) return s;
    }
    if (i > 0) m.seconds.push_back(watch.seconds());
    result.peak = larger(result.peak, resident_memory());
  }
  count_experts(m);
  m.experts = store.statistics();
  if (m.experts) m.experts->counters -= unmeasured->counters;
  m.sampling_seconds = sampler_.seconds();
  if (options_.times_parts) {
    m.part_seconds = counter_.seconds();
    double& head = (*m.part_seconds)[static_cast<size_t>(runtime::PassPart::head)];
    head = std::max(0.0, head - m.sampling_seconds);  // it ends behind the sampling
  }
  std::sort(m.seconds.begin(), m.seconds.end());
  result.measurements.push_back(std::move(m));
  return {};
}

}  // namespace

Status run_parallel(std::shared_ptr<const runtime::Model> model,
                    const runtime::SessionOptions& session, const BenchmarkOptions& options,
                    Benchmark& result) {
  auto crowd = Crowd::create(std::move(model), session, options);
  if (!crowd) return crowd.status();
  const uint64_t n_faults_before = major_faults();
  result.peak = larger(result.peak, resident_memory());
  for (const int32_t depth : options.depths) {
    if (Status s = (*crowd)->measure(depth, result); !s.ok()) return s;
  }
  result.n_faults += major_faults() - n_faults_before;
  return {};
}

}  // namespace larder::apps
