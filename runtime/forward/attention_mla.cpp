#include "runtime/forward/attention_mla.h"

#include <algorithm>
#include <cstring>

#include "runtime/forward/wanted_rows.h"

namespace larder::runtime {
namespace {

// Rows that go through all heads together. Row r of head h stands at h * n + r - first in buffers
// of [head][row].
struct RowBlock {
  int32_t first, n;
};

// Query rows that take turns with one dequantised row of weights; 32 KiB at DeepSeek's 512 values.
constexpr int32_t kRowsPerTurn = 16;

void rotate(const Pass& pass, int64_t row, float* x) noexcept {
  const RopeConfig& rope = pass.config.rope;
  const int64_t at = row * pass.rope.n_pairs();
  const auto turn =
      rope.layout == RopeLayout::halves ? pass.vector().rope_halves : pass.vector().rope_adjacent;
  turn(x, pass.space.cos + at, pass.space.sin + at, rope.n_rot);
}

// The query's latent is normed, and rounded for what reads it.
void finish_query_latent(const LayerStep& layer, int64_t row, ActivationForms forms) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const ActivationBuffer& latents = pass.space.query_latent;
  float* latent = latents.row(row);
  pass.vector().rms_norm(latent, layer.weights.q_a_norm, pass.config.norm_epsilon,
                         config.d_query_latent, latent);
  latents.round(pass.vector(), row, config.d_query_latent, forms);
}

// The position's latent and key are normed, rotated and remembered.
void finish_latent(const LayerStep& layer, int64_t row) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const quant::VectorKernels& kernels = pass.vector();
  const float epsilon = pass.config.norm_epsilon;
  float* key = pass.space.k + row * config.d_cached_key();
  kernels.rms_norm(key, layer.weights.kv_a_norm, epsilon, config.d_latent, key);
  rotate(pass, row, key + config.d_latent);
  pass.sequence_of(row).store(pass.kernels, layer.index, 0, pass.position_of(row), key, nullptr);
}

float* latent_query(const LayerStep& layer, int32_t place, int32_t head) noexcept {
  return layer.pass.space.latent_q +
         (int64_t{place} * layer.config.n_heads + head) * layer.config.d_cached_key();
}

// Splits a row's queries: the rotated parts to their places in latent_q, the others to `unrotated`.
void split_queries(const LayerStep& layer, const RowBlock& block, int32_t place,
                   ActivationForms forms) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const int64_t row = block.first + place;
  const int32_t d_unrotated = config.d_unrotated();
  const float* q = pass.space.q + row * config.q_width();
  for (int32_t h = 0; h < config.n_heads; ++h, q += config.d_key) {
    const int64_t at = int64_t{h} * block.n + place;
    std::memcpy(pass.space.unrotated.row(at), q, sizeof(float) * static_cast<size_t>(d_unrotated));
    pass.space.unrotated.round(pass.vector(), at, d_unrotated, forms);
    float* rotated = latent_query(layer, place, h) + config.d_latent;
    std::memcpy(rotated, q + d_unrotated, sizeof(float) * static_cast<size_t>(config.d_rotated));
    rotate(pass, row, rotated);
  }
}

// One matmul a head: `from` is [head][row], the results lie out_stride apart.
void multiply_heads(quant::Team& team, const LayerStep& layer, const HeadStack& weights,
                    const ActivationBuffer& from, const RowBlock& block, float* out,
                    size_t out_stride, int32_t head_stride) noexcept {
  const Pass& pass = layer.pass;
  const int32_t n_heads = layer.config.n_heads;
  quant::MatmulJob* jobs = pass.space.head_jobs;
  const quant::ActivationFormat form =
      quant::activation_for(weights.first.format, pass.matmul.arithmetic);
  team.once([&] {
    for (int32_t h = 0; h < n_heads; ++h)
      jobs[h] = {weights.head(h),
                 from.rows(form, h * block.n, block.n),
                 {out + int64_t{h} * head_stride, out_stride}};
  });
  quant::grouped_matmul(team, pass.matmul, {jobs, static_cast<size_t>(n_heads)});
}

// latent_q[c] = sum over r of weights[r][c] * unrotated[r], r ascending: weights that lie the other
// way around are added row by row, in their native blocks, instead of being copied.
void absorb_transposed(const LayerStep& layer, const RowBlock& block, int32_t head, int32_t begin,
                       float* scratch) noexcept {
  const Pass& pass = layer.pass;
  const quant::Matrix weights = layer.weights.k_b_transposed.head(head);
  const int32_t d_latent = layer.config.d_latent;
  const int32_t end = std::min(begin + kRowsPerTurn, block.n);
  const size_t row_bytes = quant::row_bytes(weights.format, d_latent);
  for (int32_t place = begin; place < end; ++place)
    std::fill_n(latent_query(layer, place, head), d_latent, 0.0f);
  for (int32_t r = 0; r < weights.n_rows; ++r) {
    pass.vector().dequantize(weights.format, weights.data + row_bytes * static_cast<size_t>(r),
                             d_latent, scratch);
    for (int32_t place = begin; place < end; ++place)
      pass.vector().add_scaled(latent_query(layer, place, head),
                               pass.space.unrotated.row(int64_t{head} * block.n + place)[r],
                               scratch, d_latent);
  }
}

// Takes the unrotated parts of the queries into the latent's space.
void absorb_queries(quant::Team& team, const LayerStep& layer, const RowBlock& block) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const HeadStack& k_b = layer.weights.k_b;
  const ActivationForms forms = forms_for({k_b.first}, pass.matmul.arithmetic);
  team.for_each(block.n, [&](int64_t place) {
    split_queries(layer, block, static_cast<int32_t>(place), forms);
  });
  if (k_b.first.data) {
    show_head_inputs(team, pass, k_b.first, config.n_heads, pass.space.unrotated.row(0),
                     pass.space.unrotated.stride(), block.n);
    const int32_t width = config.d_cached_key();
    multiply_heads(team, layer, k_b, pass.space.unrotated, block, pass.space.latent_q,
                   static_cast<size_t>(config.n_heads) * static_cast<size_t>(width), width);
    return;
  }
  auto* scratch = reinterpret_cast<float*>(pass.matmul.scratch[static_cast<size_t>(team.thread())]);
  const int32_t n_turns = (block.n + kRowsPerTurn - 1) / kRowsPerTurn;
  team.for_each(int64_t{config.n_heads} * n_turns, [&](int64_t item) {
    absorb_transposed(layer, block, static_cast<int32_t>(item / n_turns),
                      static_cast<int32_t>(item % n_turns) * kRowsPerTurn, scratch);
  });
}

// Heads that read the cache together: all if there are rows enough for every thread, else fewer.
// A head's result does not depend on it.
int32_t heads_at_once(int32_t n_heads, int32_t n_rows, int n_threads) noexcept {
  constexpr int32_t kLeast = 4;  // of which kernels make one pass
  const int32_t n_groups = std::max(1, (2 * n_threads + n_rows - 1) / n_rows);
  const int32_t n = (n_heads + n_groups - 1) / n_groups;
  return (n + kLeast - 1) / kLeast * kLeast;
}

// latent_q -> attended, for some heads of a row.
void attend_heads(const LayerStep& layer, const RowBlock& block, int32_t place, int32_t first_head,
                  int32_t n, ActivationForms forms) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const ActivationBuffer& attended = pass.space.attended;
  const int64_t row = block.first + place;
  const SequenceState& sequence = pass.sequence_of(row);
  quant::AttentionArgs args;
  args.q = latent_query(layer, place, first_head);
  args.q_stride = static_cast<size_t>(config.d_cached_key());
  args.out = attended.row(int64_t{first_head} * block.n + place);
  args.out_stride = attended.stride() * static_cast<size_t>(block.n);
  args.keys = sequence.keys(layer.index, 0);
  args.values = sequence.values(layer.index, 0);
  args.n_queries = n;
  args.d_key = config.d_cached_key();
  args.d_value = config.d_cached_value();
  args.last = pass.position_of(row);
  args.scale = config.attention_scale;
  pass.vector().attend(&args, 1);
  for (int32_t h = first_head; h < first_head + n; ++h)
    attended.round(pass.vector(), int64_t{h} * block.n + place, config.d_latent, forms);
}

void attend_block(quant::Team& team, const LayerStep& layer, const RowBlock& block) noexcept {
  const Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  absorb_queries(team, layer, block);

  const ActivationForms forms = forms_for({layer.weights.v_b.first}, pass.matmul.arithmetic);
  const int32_t n_together = heads_at_once(config.n_heads, block.n, team.n_threads());
  const int32_t n_groups = (config.n_heads + n_together - 1) / n_together;
  team.for_each(int64_t{block.n} * n_groups, [&](int64_t item) {
    const auto head = static_cast<int32_t>(item % n_groups) * n_together;
    attend_heads(layer, block, static_cast<int32_t>(item / n_groups), head,
                 std::min(n_together, config.n_heads - head), forms);
  });
  show_head_inputs(team, pass, layer.weights.v_b.first, config.n_heads, pass.space.attended.row(0),
                   pass.space.attended.stride(), block.n);
  multiply_heads(team, layer, layer.weights.v_b, pass.space.attended, block,
                 pass.space.mixed.row(block.first), pass.space.mixed.stride(), config.d_value);
}

}  // namespace

ActivationForms mla_input_forms(const LayerStep& layer) noexcept {
  const LayerWeights& w = layer.weights;
  const Linear& query = layer.config.d_query_latent > 0 ? w.q_a : w.q;
  return forms_for({query.weight, w.kv_a.weight}, layer.pass.matmul.arithmetic);
}

void attend_mla(quant::Team& team, const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  const LayerConfig& config = layer.config;
  const LayerWeights& w = layer.weights;
  const Workspace& space = pass.space;
  const bool has_query_latent = config.d_query_latent > 0;
  const auto latent_job = [&] {
    return multiply(pass, w.kv_a.weight, space.input, pass.n_rows(), space.k);
  };
  // To queries, or to their latents.
  const auto query_job = [&] {
    if (!has_query_latent) return multiply(pass, w.q.weight, space.input, pass.n_rows(), space.q);
    quant::MatmulJob job =
        multiply(pass, w.q_a.weight, space.input, pass.n_rows(), space.query_latent.row(0));
    job.out.stride = space.query_latent.stride();
    return job;
  };

  show_inputs(team, pass, {has_query_latent ? &w.q_a.weight : &w.q.weight, &w.kv_a.weight},
              space.input.row(0), space.input.stride(), pass.n_rows());
  if (ends_unwanted_rows(layer)) {
    const quant::MatmulJob remembered[] = {latent_job()};
    quant::grouped_matmul(team, pass.matmul, remembered);
    team.for_each(pass.n_rows(), [&](int64_t row) {
      finish_latent(layer, row);
      look_at_row(layer, row, space.k + row * config.d_cached_key(), config.d_cached_key());
    });
    keep_wanted_rows(team, layer, space.input);
    const quant::MatmulJob asked[] = {query_job()};
    quant::grouped_matmul(team, pass.matmul, asked);
  } else {
    const quant::MatmulJob jobs[] = {latent_job(), query_job()};
    quant::grouped_matmul(team, pass.matmul, jobs);
    team.for_each(pass.n_rows(), [&](int64_t row) { finish_latent(layer, row); });
  }

  const int32_t n = pass.n_rows();
  // attn_kv_b as the matrix that makes keys of latents; here it is multiplied the other way around.
  show_inputs(team, pass, {&w.k_b_transposed.first}, space.k,
              static_cast<size_t>(config.d_cached_key()), n);
  if (has_query_latent) {
    const ActivationForms forms = forms_for({w.q.weight}, pass.matmul.arithmetic);
    team.for_each(n, [&](int64_t row) { finish_query_latent(layer, row, forms); });
    show_inputs(team, pass, {&w.q.weight}, space.query_latent.row(0), space.query_latent.stride(),
                n);
    const quant::MatmulJob job[] = {multiply(pass, w.q.weight, space.query_latent, n, space.q)};
    quant::grouped_matmul(team, pass.matmul, job);
  }
  const int32_t n_at_once = Workspace::latent_rows(config.n_heads);
  for (int32_t first = 0; first < n; first += n_at_once)
    attend_block(team, layer, {first, std::min(n_at_once, n - first)});
}

}  // namespace larder::runtime
