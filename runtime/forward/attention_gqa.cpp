#include "runtime/forward/attention_gqa.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/forward/wanted_rows.h"

namespace larder::runtime {
namespace {

// One kind of a layer's heads in one row: q, or k.
struct Heads {
  float* x;  // [n][width], `stride` floats apart
  int32_t n, width, stride;
  const float* norm;  // [width] or [n * width], or null: ones
};

void norm_and_rotate(const LayerStep& layer, int64_t row, const Heads& heads) noexcept {
  const Pass& pass = layer.pass;
  const quant::VectorKernels& kernels = pass.vector();
  const float epsilon = pass.config.norm_epsilon;
  const RopeConfig& rope = pass.config.rope;
  const auto rotate =
      rope.layout == RopeLayout::halves ? kernels.rope_halves : kernels.rope_adjacent;
  const float* cos = pass.space.cos + row * pass.rope.n_pairs();
  const float* sin = pass.space.sin + row * pass.rope.n_pairs();

  if (layer.config.qk_norm == QkNorm::row_before_rope)
    kernels.rms_norm(heads.x, heads.norm, epsilon, int64_t{heads.n} * heads.width, heads.x);
  for (int32_t h = 0; h < heads.n; ++h) {
    float* head = heads.x + int64_t{h} * heads.stride;
    if (layer.config.qk_norm == QkNorm::head_before_rope)
      kernels.rms_norm(head, heads.norm, epsilon, heads.width, head);
    if (layer.config.rotates) rotate(head, cos, sin, rope.n_rot);
    if (layer.config.qk_norm == QkNorm::head_after_rope ||
        layer.config.qk_norm == QkNorm::unit_after_rope)
      kernels.rms_norm(head, heads.norm, epsilon, heads.width, head);
  }
}

void add_bias(const quant::VectorKernels& kernels, const Linear& linear, float* row) noexcept {
  if (linear.bias) kernels.add(row, linear.bias, linear.weight.n_rows);
}

void finish_projection(const LayerStep& layer, const Linear& linear, float* row) noexcept {
  const quant::VectorKernels& kernels = layer.pass.vector();
  add_bias(kernels, linear, row);
  const float limit = layer.config.qkv_limit;
  if (limit > 0) kernels.clamp(row, -limit, limit, linear.weight.n_rows);
}

// Biases, norms and rotation of a row's queries.
void finish_queries(const LayerStep& layer, int64_t row) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  float* q = pass.space.q + row * config.q_row_width();
  finish_projection(layer, layer.weights.q, q);
  norm_and_rotate(layer, row,
                  {q, config.n_heads, config.d_key, config.q_stride(), layer.weights.q_norm});
  if (config.temperature_span > 0)
    layer.pass.vector().scale(q, query_growth(config.temperature_span, pass.position_of(row)),
                              config.q_row_width());
}

// Biases, norms and rotation of a row's keys and values, which are remembered then.
void finish_keys(const LayerStep& layer, int64_t row) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  float* k = pass.space.k + row * config.k_width();
  float* v = pass.space.v + row * config.v_width();
  finish_projection(layer, layer.weights.k, k);
  finish_projection(layer, layer.weights.v, v);
  norm_and_rotate(layer, row,
                  {k, config.n_kv_heads, config.d_key, config.d_key, layer.weights.k_norm});
  if (config.sees_ahead) return;
  for (int32_t h = 0; h < config.n_kv_heads; ++h)
    pass.sequence_of(row).store(pass.kernels, layer.index, h, pass.position_of(row),
                                k + int64_t{h} * config.d_key, v + int64_t{h} * config.d_value);
}

void see_earlier(const LayerStep& layer, int64_t row, int32_t kv_head,
                 quant::AttentionArgs& args) noexcept {
  const Pass& pass = layer.pass;
  const SequenceState& sequence = pass.sequence_of(row);
  args.keys = sequence.keys(layer.index, kv_head);
  args.values = sequence.values(layer.index, kv_head);
  args.last = pass.position_of(row);
  if (layer.config.is_windowed) args.first = pass.config.window.first_visible(args.last);
}

// The rows of a source are all in the pass, one behind another.
void see_source(const LayerStep& layer, int64_t row, int32_t kv_head,
                quant::AttentionArgs& args) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const int64_t first = row - pass.position_of(row);
  const auto view = [&](const float* rows, int32_t width, int32_t d_head) {
    return quant::CacheView{rows + first * width + int64_t{kv_head} * d_head,
                            static_cast<size_t>(width), quant::Format::f32};
  };
  args.keys = view(pass.space.k, config.k_width(), config.d_key);
  args.values = view(pass.space.v, config.v_width(), config.d_value);
  args.last = pass.length_of(row) - 1;
}

void gate_output(const LayerStep& layer, int64_t row, int32_t first_head,
                 const quant::AttentionArgs& args) noexcept {
  const quant::VectorKernels& kernels = layer.pass.vector();
  const LayerConfig& config = layer.config;
  float* const queries =
      layer.pass.space.q + row * config.q_row_width() + int64_t{first_head} * config.q_stride();
  for (int32_t h = 0; h < args.n_queries; ++h) {
    float* const gate = queries + int64_t{h} * config.q_stride() + config.d_key;
    kernels.sigmoid(gate, config.d_value);
    kernels.multiply(args.out + int64_t{h} * config.d_value, gate, config.d_value);
  }
}

// How rows and the heads of a kv head are divided into what one thread takes at
// a time. A head's result at a row does not depend on it.
struct Shares {
  int32_t n_rows, n_heads;  // of one share
  int32_t n_row_shares, n_head_shares;
};

// Queries together fill the kernels' tiles and read keys once: 32 of them with
// their results, 128 floats each, leave L2 room for the keys. Few rows are
// divided by heads, at four of which kernels still read keys once.
constexpr int32_t kQueriesTogether = 32, kLeastHeads = 4, kSharesPerThread = 4;

constexpr int32_t parts(int32_t n, int32_t of) noexcept { return (n + of - 1) / of; }

Shares divide(const LayerConfig& config, int32_t n_rows, int n_threads) noexcept {
  const int32_t n_heads = config.n_heads / config.n_kv_heads;
  const int32_t wanted = kSharesPerThread * n_threads;
  Shares shares{std::clamp(kQueriesTogether / n_heads, 1, kQueriesTogether), n_heads, 0, 1};
  shares.n_rows = std::clamp(n_rows * config.n_kv_heads / wanted, 1, shares.n_rows);
  shares.n_row_shares = parts(n_rows, shares.n_rows);
  const int32_t n = shares.n_row_shares * config.n_kv_heads;
  if (n >= wanted || n % n_threads == 0) return shares;
  shares.n_heads = parts(parts(n_heads, parts(wanted, n)), kLeastHeads) * kLeastHeads;
  shares.n_head_shares = parts(n_heads, shares.n_heads);
  return shares;
}

// Some heads of one kv head, from the first_head-th of all on, at a row.
struct HeadsOfRow {
  int64_t row;
  int32_t kv_head, first_head, n_heads;
};

quant::AttentionArgs ask(const LayerStep& layer, const HeadsOfRow& heads) noexcept {
  const Pass& pass = layer.pass;
  const auto [row, kv_head, first_head, n_heads] = heads;
  quant::AttentionArgs args = queries_of(layer, row, kv_head);
  const int32_t n_skipped = first_head - kv_head * args.n_queries;
  args.q += static_cast<size_t>(n_skipped) * args.q_stride;
  args.out += static_cast<size_t>(n_skipped) * args.out_stride;
  args.n_queries = n_heads;
  if (layer.config.sees_ahead)
    see_source(layer, row, kv_head, args);
  else
    see_earlier(layer, row, kv_head, args);
  if (layer.config.has_sinks) args.sinks = layer.weights.sinks + first_head;
  if (pass.position_bias) {
    args.bias = pass.position_bias->of(first_head, pass.position_of(row));
    args.bias_stride = pass.position_bias->stride();
  }
  return args;
}

// Rows of one sequence, one behind the other, read its keys together.
void attend_share(const LayerStep& layer, const Shares& shares, int64_t item) noexcept {
  const Pass& pass = layer.pass;
  const int32_t n_kv = layer.config.n_kv_heads, n_heads = layer.config.n_heads / n_kv;
  const auto share = static_cast<int32_t>(item / n_kv), kv_head = static_cast<int32_t>(item % n_kv);
  const int32_t first_row = share / shares.n_head_shares * shares.n_rows;
  const int32_t end_row = std::min(first_row + shares.n_rows, pass.n_rows());
  const int32_t skipped = share % shares.n_head_shares * shares.n_heads;
  const int32_t n = std::min(shares.n_heads, n_heads - skipped);
  const int32_t first_head = kv_head * n_heads + skipped;

  quant::AttentionArgs args[kQueriesTogether];
  int32_t n_args = 0;
  for (int32_t row = first_row; row < end_row; ++row) {
    args[n_args++] = ask(layer, {row, kv_head, first_head, n});
    if (row + 1 < end_row && &pass.sequence_of(row + 1) == &pass.sequence_of(row)) continue;
    pass.vector().attend(args, n_args);
    n_args = 0;
  }
  if (!layer.config.gates_output) return;
  for (int32_t row = first_row; row < end_row; ++row)
    gate_output(layer, row, first_head, ask(layer, {row, kv_head, first_head, n}));
}

void attend(quant::Team& team, const LayerStep& layer) noexcept {
  const Shares shares = divide(layer.config, layer.pass.n_rows(), team.n_threads());
  const int64_t n_shares = int64_t{shares.n_row_shares} * shares.n_head_shares;
  team.for_each(n_shares * layer.config.n_kv_heads,
                [&](int64_t item) { attend_share(layer, shares, item); });
}

}  // namespace

float query_growth(int32_t span, int32_t position) noexcept {
  return static_cast<float>(1 + 0.1 * std::log1p((int64_t{position} + 1) / span));
}

quant::AttentionArgs queries_of(const LayerStep& layer, int64_t row, int32_t kv_head) noexcept {
  const Workspace& space = layer.pass.space;
  const LayerConfig& config = layer.config;
  const int32_t n_queries = config.n_heads / config.n_kv_heads;
  const int64_t first_head = int64_t{kv_head} * n_queries;
  quant::AttentionArgs args;
  args.q = space.q + row * config.q_row_width() + first_head * config.q_stride();
  args.q_stride = static_cast<size_t>(config.q_stride());
  args.out = space.mixed.row(row) + first_head * config.d_value;
  args.out_stride = static_cast<size_t>(config.d_value);
  args.n_queries = n_queries;
  args.d_key = config.d_key;
  args.d_value = config.d_value;
  args.scale = config.attention_scale;
  return args;
}

ActivationForms gqa_input_forms(const LayerStep& layer) noexcept {
  const LayerWeights& w = layer.weights;
  return forms_for({w.q.weight, w.k.weight, w.v.weight}, layer.pass.matmul.arithmetic);
}

void attend_gqa(quant::Team& team, const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  const LayerWeights& w = layer.weights;
  const Workspace& space = pass.space;
  const int32_t n = pass.n_rows();

  show_inputs(team, pass, {&w.q.weight, &w.k.weight, &w.v.weight}, space.input.row(0),
              space.input.stride(), n);
  const quant::MatmulJob projections[] = {multiply(pass, w.k.weight, space.input, n, space.k),
                                          multiply(pass, w.v.weight, space.input, n, space.v),
                                          multiply(pass, w.q.weight, space.input, n, space.q)};
  if (ends_unwanted_rows(layer)) {
    quant::grouped_matmul(team, pass.matmul, std::span(projections).first(2));
    team.for_each(n, [&](int64_t row) {
      finish_keys(layer, row);
      look_at_row(layer, row, space.k + row * layer.config.k_width(), layer.config.k_width());
      look_at_row(layer, row, space.v + row * layer.config.v_width(), layer.config.v_width());
    });
    keep_wanted_rows(team, layer, space.input);
    const quant::MatmulJob asked[] = {
        multiply(pass, w.q.weight, space.input, pass.n_rows(), space.q)};
    quant::grouped_matmul(team, pass.matmul, asked);
    team.for_each(pass.n_rows(), [&](int64_t row) { finish_queries(layer, row); });
  } else {
    quant::grouped_matmul(team, pass.matmul, projections);
    team.for_each(n, [&](int64_t row) {
      finish_keys(layer, row);
      finish_queries(layer, row);
    });
  }
  attend(team, layer);
}

}  // namespace larder::runtime
