#include "runtime/forward/forward.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <string>

#include "quant/dense_matmul.h"
#include "quant/dispatch.h"
#include "runtime/forward/layer_stack.h"
#include "runtime/forward/pass.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {
void ForwardObserver::layer_output(int, const float*, int, int) {}
void ForwardObserver::routes(int, int32_t*, float*, int, int) {}
void ForwardObserver::source_output(const float*, size_t, int, int) {}
void ForwardObserver::part_done(PassPart) {}
bool ForwardObserver::sees_every_row() const noexcept { return true; }
WeightInputReader* ForwardObserver::weight_inputs() noexcept { return nullptr; }

namespace {

int32_t max_positions(const Model& model, const ForwardOptions& options) noexcept {
  return options.max_positions > 0 ? options.max_positions : model.config().context_length;
}

// Those that buffers have room for: the trained context is a file's word, and may be any number.
int32_t held_positions(const Model& model, const ForwardOptions& options) noexcept {
  return options.max_positions > 0 ? options.max_positions
                                   : std::min(model.config().context_length, kUnaskedPositions);
}

// Rows that a call may have: those of a batch, or of a whole source.
int32_t max_rows(const Model& model, const ForwardOptions& options) noexcept {
  return model.config().has_encoder() ? std::max(options.max_rows, held_positions(model, options))
                                      : options.max_rows;
}

WorkspaceSizes workspace_sizes(const Model& model, const ForwardOptions& options) noexcept {
  const quant::KernelSet& kernels = options.kernels ? *options.kernels : quant::best_kernels();
  WorkspaceSizes sizes(model.config(), model.weights(), kernels, options.arithmetic,
                       max_rows(model, options), options.max_logits, options.n_threads);
  sizes.max_positions = held_positions(model, options);
  return sizes;
}

}  // namespace

struct Forward::Impl {
  Impl(std::shared_ptr<const Model> from, const ForwardOptions& with)
      : model(std::move(from)),
        options(with),
        rope(model->config().rope,
             rope_factors(model->config(), model->weights(), max_positions(*model, options))),
        parallel(with.n_threads, quant::TeamSizing::adapting) {
    if (!options.experts) options.experts = make_mapped_expert_store(model->weights());
    if (!options.kernels) options.kernels = &quant::best_kernels();
  }

  Status allocate();
  Status check_sizes(size_t n_rows, size_t n_sequences, int32_t most) const;
  Status check(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences,
               int32_t most_logits);
  void sort_rows(std::span<const TokenRow> rows, size_t n_sequences) noexcept;
  Status check_row(const TokenRow& row, std::span<SequenceState* const> sequences);
  Status check_source(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences);
  const PositionBias* cover(LayerRange stack, PositionBias& bias, std::span<const TokenRow> rows);
  Pass pass_of(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences);
  Status status_of(const Pass& pass) const;

  std::shared_ptr<const Model> model;
  ForwardOptions options;
  RopeAngles rope;
  quant::Parallel parallel;
  AnonymousMemory memory;
  Workspace space;
  int32_t n_logits = 0;  // of the last run
};

Status Forward::Impl::allocate() {
  const WorkspaceSizes sizes = workspace_sizes(*model, options);
  Arena measure;
  space.lay_out(measure, sizes);
  if (measure.overflows())
    return Status(Cause::out_of_memory, "no machine has buffers for so many rows");
  Result<AnonymousMemory> allocated =
      AnonymousMemory::allocate(measure.bytes(), "the buffers of the forward pass");
  if (!allocated) return allocated.status();
  memory = std::move(*allocated);
  Arena place(memory.data());
  space.lay_out(place, sizes);
  space.connect();
  return {};
}

Status Forward::Impl::check_sizes(size_t n_rows, size_t n_sequences, int32_t most) const {
  const auto limit = static_cast<size_t>(most);
  if (n_rows <= limit && n_sequences <= limit) return {};
  return Status(Cause::invalid_argument,
                "more rows or sequences than the " + std::to_string(most) + " of a batch");
}

// The row continues what its sequence will hold by then (space.sequence_lengths).
Status Forward::Impl::check_row(const TokenRow& row, std::span<SequenceState* const> sequences) {
  if (row.sequence < 0 || static_cast<size_t>(row.sequence) >= sequences.size())
    return Status(Cause::invalid_argument, "a row names a sequence that is not there");
  if (row.token < 0 || row.token >= model->config().n_vocab)
    return Status(Cause::invalid_argument, "token id " + std::to_string(row.token) +
                                               " is outside the vocabulary of " +
                                               std::to_string(model->config().n_vocab));
  int32_t& length = space.sequence_lengths[row.sequence];
  if (row.position != length)
    return Status(Cause::invalid_argument, "position " + std::to_string(row.position) +
                                               " does not continue a sequence of " +
                                               std::to_string(length));
  int32_t capacity = sequences[static_cast<size_t>(row.sequence)]->capacity();
  if (options.max_positions > 0 || model->config().relative.n_buckets > 0)
    capacity = std::min(capacity, held_positions(*model, options));
  if (row.position >= capacity)
    return Status(Cause::context_full,
                  "it has no room behind " + std::to_string(capacity) + " tokens",
                  "sequence " + std::to_string(row.sequence));
  ++length;
  return {};
}

Status Forward::Impl::check(std::span<const TokenRow> rows,
                            std::span<SequenceState* const> sequences, int32_t most_logits) {
  if (Status s = check_sizes(rows.size(), sequences.size(), options.max_rows); !s.ok()) return s;
  for (size_t i = 0; i < sequences.size(); ++i)
    space.sequence_lengths[i] = sequences[i]->n_positions();
  n_logits = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (Status status = check_row(rows[i], sequences); !status.ok()) return status;
    if (model->config().has_encoder() &&
        sequences[static_cast<size_t>(rows[i].sequence)]->n_source() == 0)
      return Status(Cause::invalid_argument, "a sequence has no source to attend to");
    if (!rows[i].wants_logits) continue;
    if (n_logits == most_logits)
      return Status(Cause::invalid_argument, "more rows want logits than there is room for");
    space.logit_rows[n_logits++] = static_cast<int32_t>(i);
  }
  for (size_t i = 0; i < sequences.size(); ++i)
    if (space.sequence_lengths[i] - sequences[i]->n_positions() > sequences[i]->longest_pass())
      return Status(Cause::invalid_argument,
                    "more rows than the " + std::to_string(sequences[i]->longest_pass()) +
                        " that it takes at once",
                    "sequence " + std::to_string(i));
  return {};
}

// Whole sources, each gapless.
Status Forward::Impl::check_source(std::span<const TokenRow> rows,
                                   std::span<SequenceState* const> sequences) {
  if (!model->config().has_encoder()) return Status(Cause::unsupported, "the model has no encoder");
  if (Status s = check_sizes(rows.size(), sequences.size(), max_rows(*model, options)); !s.ok())
    return s;
  std::fill_n(space.sequence_lengths, sequences.size(), 0);
  n_logits = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (Status status = check_row(rows[i], sequences); !status.ok()) return status;
    if (rows[i].position > 0 && rows[i].sequence != rows[i - 1].sequence)
      return Status(Cause::invalid_argument, "the rows of a source do not stand together");
  }
  return {};
}

// Null where the stack has no biases.
const PositionBias* Forward::Impl::cover(LayerRange stack, PositionBias& bias,
                                         std::span<const TokenRow> rows) {
  const float* table = model->weights().layers[static_cast<size_t>(stack.first)].position_bias;
  if (!table) return nullptr;
  int32_t n_positions = 0;
  for (const TokenRow& row : rows) n_positions = std::max(n_positions, row.position + 1);
  bias.cover(model->config().relative, table, n_positions);
  return &bias;
}

Pass Forward::Impl::pass_of(std::span<const TokenRow> rows,
                            std::span<SequenceState* const> sequences) {
  return Pass(PassInputs{.config = model->config(),
                         .weights = model->weights(),
                         .kernels = *options.kernels,
                         .matmul = {options.kernels, options.arithmetic, space.scratch},
                         .rope = rope,
                         .space = space,
                         .experts = *options.experts,
                         .rows = rows,
                         .sequences = sequences,
                         .n_logits = n_logits,
                         .n_logits_at_once = options.max_logits});
}

Status Forward::Impl::status_of(const Pass& pass) const {
  if (pass.status.cause() != Cause::numeric) return pass.status;
  return pass.status.with_file(model->file().path());
}

// REQUIRES: the rows passed check().
void Forward::Impl::sort_rows(std::span<const TokenRow> rows, size_t n_sequences) noexcept {
  int32_t* const first = space.first_of_sequence;
  std::fill_n(first, n_sequences + 1, 0);
  for (const TokenRow& row : rows) ++first[row.sequence + 1];
  for (size_t i = 0; i < n_sequences; ++i) first[i + 1] += first[i];
  for (size_t i = 0; i < rows.size(); ++i)
    space.rows_by_sequence[first[rows[i].sequence]++] = static_cast<int32_t>(i);
  // each has become the next one's
  for (size_t i = n_sequences; i > 0; --i) first[i] = first[i - 1];
  first[0] = 0;
}

Forward::Forward(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Forward::~Forward() = default;

Result<std::unique_ptr<Forward>> Forward::create(std::shared_ptr<const Model> model,
                                                 const ForwardOptions& options) {
  if (options.n_threads < 1 || options.max_rows < 1 || options.max_logits < 0 ||
      options.max_logits > options.max_rows || options.max_positions < 0)
    return Status(Cause::invalid_argument,
                  "a forward pass needs a thread, a row, and no more logits than rows");
  try {
    auto impl = std::make_unique<Impl>(std::move(model), options);
    if (options.arithmetic == quant::Arithmetic::exact) quant::prepare_dense_tiles();
    if (Status status = impl->allocate(); !status.ok()) return status;
    return std::unique_ptr<Forward>(new Forward(std::move(impl)));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for the forward pass");
  }
}

Status Forward::run(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences,
                    const std::atomic<bool>* cancel, ForwardObserver* observer,
                    LogitsReader* reader) {
  Impl& impl = *impl_;
  assert(!reader || impl.options.max_logits > 0);
  const int32_t most = reader ? impl.options.max_rows : impl.options.max_logits;
  if (Status status = impl.check(rows, sequences, most); !status.ok()) return status;
  if (rows.empty()) return {};
  const PassTurns::Turn turn = impl.options.experts->turns().take(cancel);
  if (!turn) return Status(Cause::cancelled, "cancelled");
  impl.sort_rows(rows, sequences.size());
  Pass pass = impl.pass_of(rows, sequences);
  pass.position_bias = impl.cover(pass.config.decoder(), impl.space.decoder_bias, rows);
  pass.reader = reader;
  if (reader) impl.n_logits = 0;
  pass.cancel = cancel;
  pass.observe_by(observer);
  for (size_t i = 0; i < sequences.size(); ++i)
    sequences[i]->make_room(impl.space.sequence_lengths[i] - sequences[i]->n_positions());
  impl.parallel.run([&](quant::Team& team) { run_decoder(team, pass); });
  if (!pass.status.ok()) return impl.status_of(pass);
  for (size_t i = 0; i < sequences.size(); ++i)
    sequences[i]->advance(impl.space.sequence_lengths[i] - sequences[i]->n_positions());
  return {};
}

Status Forward::encode(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences,
                       const std::atomic<bool>* cancel, ForwardObserver* observer) {
  Impl& impl = *impl_;
  if (Status status = impl.check_source(rows, sequences); !status.ok()) return status;
  if (rows.empty()) return {};
  const PassTurns::Turn turn = impl.options.experts->turns().take(cancel);
  if (!turn) return Status(Cause::cancelled, "cancelled");
  Pass pass = impl.pass_of(rows, sequences);
  pass.position_bias = impl.cover(pass.config.encoder(), impl.space.encoder_bias, rows);
  pass.cancel = cancel;
  pass.observe_by(observer);
  impl.parallel.run([&](quant::Team& team) { run_encoder(team, pass); });
  // Keys and values of some layers may be the new source's by then.
  const bool is_lost = pass.status.cause() == Cause::numeric;
  if (!pass.status.ok() && !is_lost) return pass.status;
  for (size_t i = 0; i < sequences.size(); ++i)
    if (impl.space.sequence_lengths[i] > 0)
      sequences[i]->hold_source(is_lost ? 0 : impl.space.sequence_lengths[i]);
  return impl.status_of(pass);
}

const float* Forward::logits(int index) const noexcept {
  assert(index >= 0 && index < impl_->n_logits);
  return impl_->space.logits + static_cast<int64_t>(index) * impl_->model->config().n_vocab;
}

const ForwardOptions& Forward::options() const noexcept { return impl_->options; }

size_t Forward::bytes_for(const Model& model, const ForwardOptions& options) noexcept {
  Arena measure;
  Workspace space;
  space.lay_out(measure, workspace_sizes(model, options));
  return measure.overflows() ? SIZE_MAX : measure.bytes();
}

size_t Forward::bytes() const noexcept { return impl_->memory.bytes(); }

}  // namespace larder::runtime
