// The forward pass: one batch of token rows through all layers. Prefill, decoding, a chat and a
// thousand scored texts are the same call.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "formats/status.h"
#include "quant/grouped_matmul.h"
#include "quant/kernel_set.h"
#include "runtime/experts/expert_store.h"
#include "runtime/forward/weight_inputs.h"
#include "runtime/model/model.h"
#include "runtime/session/sequence_state.h"

namespace larder::runtime {

// One token at one place of one sequence. Rows of the same sequence stand in ascending, gapless
// positions that continue what the sequence holds.
struct TokenRow {
  formats::TokenId token = 0;
  int32_t position = 0;
  int32_t sequence = 0;  // index into the sequences of the call
  bool wants_logits = false;
};

// What a pass spends its time on. Norms, residual sums and embeddings are the rest.
enum class PassPart : uint8_t { attention, router, experts, head, rest };
inline constexpr int kNumPassParts = 5;

// Sees, and may steer, what happens inside; for references and for expert statistics. Called on one
// thread, between layers. All pointers are valid during the call only.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // Layers are counted through, an encoder's first.
  // The residual stream after a layer: [n_rows][d_model].
  virtual void layer_output(int layer, const float* rows, int n_rows, int d_model);
  // The routing of a layer, best first: experts and weights are [n_rows][n_active] and may be
  // overwritten.
  virtual void routes(int layer, int32_t* experts, float* weights, int n_rows, int n_active);
  // What an encoder makes of sources, behind its last norm: [n_rows][d_model], stride floats apart.
  virtual void source_output(const float* rows, size_t stride, int n_rows, int d_model);
  // The team has done what belongs to this part since the part before it ended. Carried states are
  // attention's part.
  virtual void part_done(PassPart part);
  // Whether the last layer must be run for rows that want no logits, of which only keys and values
  // are needed. If not, the last layer shows what it has of the others.
  virtual bool sees_every_row() const noexcept;
  // Who wants to see what weights multiply; asked once a pass. Null: nobody.
  virtual WeightInputReader* weight_inputs() noexcept;
};

// Takes logits as soon as they are computed.
class LogitsReader {
 public:
  virtual ~LogitsReader() = default;
  // Logits, [n_vocab], of the index-th row that wants them, valid during the call. On `thread` of
  // the team, on several threads at once; each row once.
  virtual void read(int thread, int32_t index, const float* logits) noexcept = 0;
};

// Sixteen times what Switch Transformers are trained for.
inline constexpr int32_t kUnaskedPositions = 8192;

struct ForwardOptions {
  // behaviour
  quant::Arithmetic arithmetic = quant::Arithmetic::integer;
  // performance
  int n_threads = 1;
  int32_t max_rows = 512;  // rows of one call
  int32_t max_logits = 1;  // of them, how many may want logits, or have them at once
  // Longest sequence and longest source, 0: the trained context. Decides LongRoPE's factors. Where
  // every position costs memory, as sources and biases by distance do, 0 is kUnaskedPositions at
  // most.
  int32_t max_positions = 0;
  const quant::KernelSet* kernels = nullptr;       // null: the best of this machine
  std::shared_ptr<ExpertStore> experts = nullptr;  // null: where the model's file has them
};

class Forward {
 public:
  // Allocates every buffer; later calls allocate nothing.
  static Result<std::unique_ptr<Forward>> create(std::shared_ptr<const Model> model,
                                                 const ForwardOptions& options);
  ~Forward();

  // Appends the rows to their sequences. On success logits(i) holds the logits of the i-th row that
  // wanted them. With a reader all rows may want logits; they are computed max_logits at a time,
  // read at once, also where the pass fails later on, and not kept. At most max_rows sequences,
  // each once. Errors: `context_full`, `numeric` (names the layer), `cancelled`, `invalid_argument`
  // (token id out of range, positions that do not continue the sequence, more of them than it takes
  // at once, no source behind an encoder). After an error every sequence holds what it held before.
  Status run(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences,
             const std::atomic<bool>* cancel = nullptr, ForwardObserver* observer = nullptr,
             LogitsReader* reader = nullptr);

  // Encodes sources. The rows of a source stand one behind another, from position 0 on, and are all
  // of it; afterwards its sequence holds it and no positions. As many rows as the longest source
  // has, or max_rows if that is more. Errors: those of run, and `unsupported` without an encoder;
  // behind `numeric` the sequences hold neither source nor positions.
  Status encode(std::span<const TokenRow> rows, std::span<SequenceState* const> sequences,
                const std::atomic<bool>* cancel = nullptr, ForwardObserver* observer = nullptr);

  const float* logits(int index) const noexcept;  // [n_vocab]
  const ForwardOptions& options() const noexcept;
  size_t bytes() const noexcept;  // what create() allocated
  // Exactly that, before; SIZE_MAX if no machine can have it.
  static size_t bytes_for(const Model& model, const ForwardOptions& options) noexcept;

 private:
  struct Impl;
  explicit Forward(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace larder::runtime
