// Every buffer of a forward pass, sized once from configuration and batch. Measuring and placing
// are the same walk over an Arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/grouped_matmul.h"
#include "quant/kernel_set.h"
#include "runtime/experts/expert_store.h"
#include "runtime/forward/activation_buffer.h"
#include "runtime/forward/forward.h"
#include "runtime/forward/position_bias.h"
#include "runtime/model/model_config.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

// The largest of everything that a model's layers ask of a batch.
struct WorkspaceSizes {
  WorkspaceSizes(const ModelConfig& config, const ModelWeights& weights,
                 const quant::KernelSet& kernels, quant::Arithmetic arithmetic, int32_t max_rows,
                 int32_t max_logits, int n_threads);

  size_t n_rows, n_logits, n_threads;
  int64_t d_model, n_vocab, n_rot_pairs;
  int64_t conv_input_width = 0, n_channels = 0, mixed_gate_width = 0, n_state_heads = 0;
  int64_t q_width = 0, k_width = 0, v_width = 0, mixed_width = 0;
  int64_t d_query_latent = 0, d_unrotated = 0, d_latent = 0;  // of latent attention
  int64_t n_latent_heads = 0, n_latent_rows = 0, latent_key_width = 0;
  int64_t n_experts = 0, n_active = 0, d_ff = 0, d_ff_shared = 0;
  ActivationForms forms = 0;
  size_t scratch_bytes = 0;   // of one thread
  int32_t n_bias_heads = 0;   // of biases by distance; 0: there are none
  int32_t max_positions = 0;  // that they reach
  bool has_encoder = false;

 private:
  void see_carrying(const LayerConfig& layer, const LayerWeights& weights) noexcept;
  void see_latent(const LayerConfig& layer, const LayerWeights& weights) noexcept;
};

class Workspace {
 public:
  void lay_out(Arena& arena, const WorkspaceSizes& sizes) noexcept;
  // Sets what points into the buffers. REQUIRES: laid out over memory.
  void connect() noexcept;

  // How many rows latent attention takes at a time. Its queries are several times as wide as
  // others, so room for whole batches would be hundreds of megabytes; this is under 20 in models of
  // DeepSeek-V3's widths, and leaves each head 32 rows to multiply at once.
  static constexpr int32_t kLatentQueries = 4096;
  static int32_t latent_rows(int32_t n_heads) noexcept {
    return n_heads < kLatentQueries ? kLatentQueries / n_heads : 1;
  }

  // The residual stream, what a branch reads, and what it adds.
  float* stream = nullptr;  // [n_rows][d_model], gapless
  ActivationBuffer input;   // [n_rows][d_model], normed
  float* branch = nullptr;  // [n_rows][d_model]

  // attention
  float* q = nullptr;      // [n_rows][q_row_width]
  float* k = nullptr;      // [n_rows][k_width]; latent attention: [n_rows][d_cached_key]
  float* v = nullptr;      // [n_rows][v_width]
  ActivationBuffer mixed;  // [n_rows][mixed_width]
  float* cos = nullptr;    // [n_rows][n_rot / 2]
  float* sin = nullptr;

  // layers that carry a state
  float* conv_input = nullptr;       // [n_rows][rows of the layer's conv_input]
  float* convolved = nullptr;        // [n_rows][n_channels]
  float* mixed_gate = nullptr;       // [n_rows][n_heads * d_value]
  float* rates_and_steps = nullptr;  // [n_rows][2 * n_heads]
  float* decays = nullptr;           // [n_rows][2 * n_heads]: each head's decay and rate

  // latent attention, for n_latent = latent_rows(n_heads) rows at a time
  ActivationBuffer query_latent;          // [n_rows][d_query_latent]
  ActivationBuffer unrotated;             // [n_heads][n_latent][d_unrotated], of the queries
  float* latent_q = nullptr;              // [n_latent][n_heads][d_cached_key]
  ActivationBuffer attended;              // [n_heads][n_latent][d_latent]
  quant::MatmulJob* head_jobs = nullptr;  // [n_heads]

  // routing
  float* router_logits = nullptr;   // [n_rows][n_experts]
  float* router_scratch = nullptr;  // [n_threads][2 * n_experts]
  int32_t* experts = nullptr;       // [n_rows][n_active], gapless for the layer's own n_active
  float* weights = nullptr;         // [n_rows][n_active]
  // What the next layer may choose for the one row.
  int32_t* predicted_experts = nullptr;  // [n_active]
  float* predicted_weights = nullptr;    // [n_active]

  // Experts. A slot is one (row, chosen expert); slots are sorted by expert, then by row.
  int32_t* slot_of = nullptr;     // [n_rows][n_active]: where a row's choice stands
  int32_t* choice_of = nullptr;   // [slot]: the other way round
  int32_t* first_slot = nullptr;  // [n_experts + 1]
  int32_t* used = nullptr;        // experts that have slots, those at hand first
  int32_t* wave_slots = nullptr;  // [n_slots], of a wave
  const void** gathered[quant::kActivationFormats] = {};  // [slot]: the input row's forms
  ActivationBuffer hidden;                // [slot][d_ff]: gate (up without one), then the product
  float* up = nullptr;                    // [slot][stride of hidden]
  float* down = nullptr;                  // [slot][d_model]
  ActivationBuffer shared_hidden;         // [n_rows][d_ff_shared]
  float* shared_up = nullptr;             // [n_rows][stride of shared_hidden]
  float* shared_down = nullptr;           // [n_rows][d_model]
  ExpertPin* pins = nullptr;              // [n_experts]
  quant::MatmulJob* up_jobs = nullptr;    // [2 * (n_experts + 1)]
  quant::MatmulJob* down_jobs = nullptr;  // [n_experts + 1]

  // the head
  int32_t* logit_rows = nullptr;    // [n_rows]
  TokenRow* wanted_rows = nullptr;  // [n_rows]: those, once the others have ended
  float* logits = nullptr;          // [n_logits][n_vocab]

  PositionBias encoder_bias, decoder_bias;

  int32_t* sequence_lengths = nullptr;  // [n_rows]: what sequences will hold behind the batch
  // The rows of a batch by sequence, in order.
  int32_t* first_of_sequence = nullptr;  // [n_rows + 1]
  int32_t* rows_by_sequence = nullptr;   // [n_rows]
  std::span<std::byte* const> scratch;   // one area a thread

 private:
  void lay_out_carrying(Arena& arena, const WorkspaceSizes& sizes) noexcept;
  void lay_out_latent(Arena& arena, const WorkspaceSizes& sizes) noexcept;
  void lay_out_experts(Arena& arena, const WorkspaceSizes& sizes) noexcept;
  std::byte** scratch_areas_ = nullptr;
  std::byte* scratch_memory_ = nullptr;
  size_t scratch_bytes_ = 0, n_threads_ = 0;
};

}  // namespace larder::runtime
