// The whole instruction-set surface: one struct of function pointers per instruction set, chosen
// once (dispatch.h). Kernels take raw spans, cannot fail, and allocate nothing.
//
// Order of accumulation (the answer never depends on how it was computed):
//  - Integer dots: every block (32 values) or super-block (256) is reduced to an exact int32; then,
//    block after block in ascending order, acc = fma(d_w * d_a, float(dot), acc), and for formats
//    with minimums acc = fma(-(m_w * d_a), float(min_dot), acc) right after it. One accumulator per
//    output element, starting at +0. gemv and gemm agree to the bit, on every instruction set.
//  - Float sums over a row: 16 lanes, lane j sums elements j, j+16, ... in ascending order by fma,
//    a short tail is padded with zeros; lanes are then added as a tree (i with i+8, +4, +2, +1).
//  - Attention: scores are such sums over a key; keys come in blocks of 64 absolute positions. A
//    block's weights are summed as 16 lanes and their tree, then sum = fma(sum, correction, that);
//    out = out * correction, then fma(weight, value, out) position by position. Keys and values of
//    q8_0 count as the floats that they stand for, exactly, so that one order serves every format.
//  - The delta rule sums over d_key in ascending order, one accumulator for each column.
//  - exp and friends are our own polynomials over fma, the same on every instruction set.
//  - Of a token's experts results are added in the router's order, the shared expert's last; what
//    latent attention adds row by row is added in ascending order.
//  - Exact arithmetic has oneDNN's order for the one shape of its tiles (dense_matmul.h).
// Cost: none where blocks' integers are added. One accumulator instead of 16 lanes that are added
// at the end costs Q4_K's gemv nothing out of L2 and 0 to 2 % from memory (Zen 5, interleaved).
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/format.h"

namespace larder::quant {

// Some rows of a weight matrix in their native blocks. Shape [n_rows][n_cols].
struct WeightRows {
  const uint8_t* data = nullptr;  // first row; byte aligned only
  size_t row_bytes = 0;           // distance between rows
  int32_t n_rows = 0;
  int32_t n_cols = 0;  // a multiple of the format's block
};

// Quantised or float activation rows, one pointer a token; each row 64-byte aligned.
struct ActivationRows {
  const void* const* rows = nullptr;  // [n_tokens]
  int32_t n_tokens = 0;
};

// Results: element (token t, weight row r) goes to data[t * stride + r].
struct OutputRows {
  float* data = nullptr;
  size_t stride = 0;  // in floats
};

// What happens to memory around a gemm; no result depends on it.
struct MemoryHints {
  WeightRows next;            // asked for meanwhile, of any shape. No rows: not known
  bool skips_caches = false;  // results go past the caches, which would not hold them until read
};

inline constexpr int kPanelRows = 16;  // weight rows of a packed panel

// One weight format's integer kernels. Activations have the format's own ActivationFormat.
struct MatmulKernels {
  // out[t][r] = W[r] . x[t], from native blocks; for few tokens (decode).
  void (*gemv)(const WeightRows& weights, const ActivationRows& x, const OutputRows& out) noexcept;
  // Unpacks up to kPanelRows rows into an int8 panel in the dot-product instruction's own layout;
  // missing rows become zeros. The layout is private to the instruction set.
  void (*pack)(const WeightRows& weights, void* panel) noexcept;
  // out[t][r] for packed panels, one behind the other, of weights.n_rows rows: all but the last one
  // full; for many tokens (prefill). Cheapest with an even number of panels. The same bits as gemv.
  void (*gemm)(const void* panels, const WeightRows& weights, const ActivationRows& x,
               const OutputRows& out, const MemoryHints& hints) noexcept;
  size_t (*panel_bytes)(int32_t n_cols) noexcept;  // a multiple of 64
};

// K or V of one sequence, layer and kv head: element (position p, d) at data[p * stride + d].
struct CacheView {
  const void* data = nullptr;
  size_t stride = 0;            // in elements; of q8_0 in blocks of 32
  Format format = Format::f32;  // f32, f16 or q8_0
  // Position p lies at p % n_places, where that is not 0; a multiple of kAttentionBlock.
  int32_t n_places = 0;
};

inline constexpr int32_t kAttentionBlock = 64;  // positions that attention takes together

// Attention of `n_queries` heads that share one kv head, at one position. Widths of what lies in
// q8_0 are multiples of 32.
struct AttentionArgs {
  const float* q = nullptr;  // [n_queries][d_key], queries q_stride floats apart
  size_t q_stride = 0;
  float* out = nullptr;  // [n_queries][d_value], out_stride floats apart
  size_t out_stride = 0;
  CacheView keys, values;
  int32_t n_queries = 0, d_key = 0, d_value = 0;
  int32_t first = 0, last = 0;   // visible positions, first <= last, both included
  float scale = 1;               // multiplies q.k
  const float* sinks = nullptr;  // [n_queries] extra logits without value, or null
  const float* bias =
      nullptr;  // added to scores: [n_queries][last + 1], bias_stride apart, or null
  size_t bias_stride = 0;
};

// The gated delta rule of one head over tokens of one sequence, in order. A token with query q, key
// k, value v, decay a and rate b makes of the state S, [d_key][d_value]:
//   u = b (v - a S^T k),  S = a S + k u^T,  out = S^T q
struct DeltaRuleArgs {
  const int32_t* rows = nullptr;  // [n_tokens] where each token stands in the arrays below
  int32_t n_tokens = 0;           // at least 1
  const float* q = nullptr;       // [row][d_key], rows `stride` floats apart
  const float* k = nullptr;       // [row][d_key], alike
  const float* v = nullptr;       // [row][d_value], alike
  size_t stride = 0;
  const float* decay = nullptr;  // [row], gate_stride apart
  const float* rate = nullptr;   // [row], alike
  size_t gate_stride = 0;
  float* out = nullptr;  // [row][d_value], out_stride apart
  size_t out_stride = 0;
  // [d_value / 16, rounded up][d_key][16]: before the first token, and behind the last; not the
  // same memory. Columns past d_value are zeros.
  const float* state = nullptr;
  float* next_state = nullptr;
  int32_t d_key = 0, d_value = 0;
};

// Floats of one head's state.
constexpr size_t delta_state_floats(int32_t d_key, int32_t d_value) noexcept {
  return (static_cast<size_t>(d_value) + 15) / 16 * 16 * static_cast<size_t>(d_key);
}

// Weights to be quantised.
struct QuantizeRows {
  const float* x = nullptr;  // [n_rows][n_cols], finite
  int64_t n_rows = 0;
  int64_t n_cols = 0;                 // a multiple of the format's block
  const float* importance = nullptr;  // [n_cols] what a squared error counts, or null: all alike
  uint8_t* out = nullptr;             // [n_rows] of row_bytes(format, n_cols)
};

struct VectorKernels {
  // Weights to float, one row. n a multiple of the block.
  void (*dequantize)(Format format, const uint8_t* row, int64_t n, float* out) noexcept;
  // Weights to blocks, searching for the scales of least squared error (quantize.h).
  void (*quantize)(Format format, const QuantizeRows& rows) noexcept;
  // Activations to q8_32 / q8_256 (activation_block.h); n a multiple of 32 / 256.
  void (*quantize_q8_32)(const float* x, int64_t n, void* out) noexcept;
  void (*quantize_q8_256)(const float* x, int64_t n, void* out) noexcept;
  // Keys and values to BlockQ8_0 (block.h); n a multiple of 32.
  void (*quantize_q8_0)(const float* x, int64_t n, void* out) noexcept;
  void (*to_f16)(const float* x, int64_t n, uint16_t* out) noexcept;  // round to nearest even
  void (*from_f16)(const uint16_t* x, int64_t n, float* out) noexcept;

  // out[t][r] = W[r] . x[t] for weights that are f32, f16 or bf16, from native rows; for few
  // tokens. The same bits as dequantize() and then gemm_f32().
  void (*gemv_float)(Format format, const WeightRows& weights, const ActivationRows& x,
                     const OutputRows& out) noexcept;
  // out[t][r] = W[r] . x[t] for float32 weights [n_rows][n_cols] (routers); blocked over tokens.
  void (*gemm_f32)(const WeightRows& weights, const ActivationRows& x,
                   const OutputRows& out) noexcept;
  float (*dot_f32)(const float* a, const float* b, int64_t n) noexcept;

  void (*add)(float* y, const float* x, int64_t n) noexcept;                  // y += x
  void (*scale)(float* y, float s, int64_t n) noexcept;                       // y *= s
  void (*add_scaled)(float* y, float s, const float* x, int64_t n) noexcept;  // y = fma(s, x, y)
  void (*multiply)(float* y, const float* x, int64_t n) noexcept;             // y *= x
  void (*clamp)(float* y, float low, float high, int64_t n) noexcept;

  // x / sqrt(mean(x^2) + eps) * weight; weight may be null (ones). out may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out) noexcept;
  // (x - mean) / sqrt(var + eps) * weight + bias; bias may be null. out may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, int64_t n,
                     float* out) noexcept;
  // x / sqrt(sum(x^2) + eps). out may be x.
  void (*l2_norm)(const float* x, float eps, int64_t n, float* out) noexcept;
  // Rotates n_rot dims of one head in place. cos, sin: [n_rot / 2].
  void (*rope_adjacent)(float* x, const float* cos, const float* sin, int32_t n_rot) noexcept;
  void (*rope_halves)(float* x, const float* cos, const float* sin, int32_t n_rot) noexcept;

  void (*swiglu)(const float* gate, const float* up, int64_t n,
                 float* out) noexcept;  // silu(g) * u
  // gpt-oss: g = min(gate, limit), u = clamp(up, +-limit); g * sigmoid(alpha g) * (u + 1).
  void (*swiglu_clamped)(const float* gate, const float* up, float alpha, float limit, int64_t n,
                         float* out) noexcept;
  void (*silu)(float* x, int64_t n) noexcept;
  void (*relu)(float* x, int64_t n) noexcept;
  void (*gelu_tanh)(float* x, int64_t n) noexcept;
  void (*sigmoid)(float* x, int64_t n) noexcept;
  void (*softmax)(float* x, int64_t n) noexcept;  // in place; subtracts the maximum first

  // The k largest of scores[0..n), descending; ties go to the lower index; NaN ranks below all.
  // REQUIRES: 0 < k <= n.
  void (*top_k)(const float* scores, int32_t n, int32_t k, int32_t* indices) noexcept;
  int32_t (*argmax)(const float* x, int64_t n) noexcept;  // lowest index on ties
  bool (*all_finite)(const float* x, int64_t n) noexcept;

  // Online softmax over blocks of keys at fixed absolute positions, so that the result depends on
  // the position alone, not on chunk, batch or threads. Keys are read once for several rows.
  // REQUIRES: rows are alike but for q, out, sinks, bias, first, last and n_queries.
  void (*attend)(const AttentionArgs* rows, int32_t n_rows) noexcept;
  // One output of a convolution of each channel by itself: out[i] = sum over j, ascending, of
  // taps[j][i] * rows[j][i]; rows: [n_taps] pointers, taps: [n_taps][n].
  void (*convolve)(const float* const* rows, const float* taps, int32_t n_taps, int64_t n,
                   float* out) noexcept;
  void (*delta_rule)(const DeltaRuleArgs& args) noexcept;
};

// Reach the limits of the machine (machine_limits.h); no part of any model.
struct ProbeKernels {
  // Loads all of it; the sum is worthless. REQUIRES: 64-byte aligned, n_bytes a multiple of 256.
  int32_t (*read)(const void* data, size_t n_bytes) noexcept = nullptr;
  int32_t (*int8_dots)(int64_t n_rounds) noexcept = nullptr;
  int32_t ops_per_round = 0;
};

struct KernelSet {
  const char* name;                           // "avx512-vnni"
  const char* description;                    // the instruction sets it needs, for people
  const MatmulKernels* matmul[kFormatSlots];  // by Format id; null for float formats and no kernels
  VectorKernels vector;
  ProbeKernels probe = {};
};

}  // namespace larder::quant
