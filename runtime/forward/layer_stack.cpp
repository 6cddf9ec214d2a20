#include "runtime/forward/layer_stack.h"

#include <algorithm>

#include "runtime/forward/attention_gqa.h"
#include "runtime/forward/attention_mla.h"
#include "runtime/forward/gated_delta_net.h"
#include "runtime/forward/moe_block.h"
#include "runtime/forward/short_convolution.h"
#include "runtime/forward/source_attention.h"
#include "runtime/forward/wanted_rows.h"

namespace larder::runtime {
namespace {

void norm_row(const Pass& pass, const float* x, const Norm& norm, int64_t row,
              ActivationForms forms) noexcept {
  const ModelConfig& config = pass.config;
  float* out = pass.space.input.row(row);
  switch (config.norm) {
    case NormKind::rms:
      pass.vector().rms_norm(x, norm.weight, config.norm_epsilon, config.d_model, out);
      break;
    case NormKind::layer:
      pass.vector().layer_norm(x, norm.weight, norm.bias, config.norm_epsilon, config.d_model, out);
      break;
  }
  pass.space.input.round(pass.vector(), row, pass.config.d_model, forms);
}

// stream -> input, in the forms that the next step reads.
void norm_rows(quant::Team& team, const Pass& pass, const Norm& norm,
               ActivationForms forms) noexcept {
  team.for_each(pass.n_rows(),
                [&](int64_t row) { norm_row(pass, pass.stream(row), norm, row, forms); });
}

// stream += branch.
void add_branch(quant::Team& team, const Pass& pass, RowFlag& fault) noexcept {
  const int32_t d_model = pass.config.d_model;
  const float scale = pass.config.residual_scale;
  team.for_each(pass.n_rows(), [&](int64_t row) {
    if (scale == 1)
      pass.vector().add(pass.stream(row), pass.branch(row), d_model);
    else
      pass.vector().add_scaled(pass.stream(row), scale, pass.branch(row), d_model);
    if (!pass.vector().all_finite(pass.stream(row), d_model)) fault.raise(row);
  });
}

// Decides on one thread whether the pass goes on behind a layer.
void look_at(const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  if (pass.status.ok()) pass.status = pass.faults.of_layer(pass, layer.index);
  if (pass.status.ok() && pass.cancel && pass.cancel->load(std::memory_order_relaxed))
    pass.status = Status(Cause::cancelled, "cancelled");
  pass.stops = !pass.status.ok();
  if (!pass.stops && pass.observer)
    pass.observer->layer_output(layer.index, pass.space.stream, pass.n_rows(), pass.config.d_model);
}

// mixed -> branch.
void project_mixed(quant::Team& team, const LayerStep& layer, const Linear& output) noexcept {
  const Pass& pass = layer.pass;
  const Workspace& space = pass.space;
  const int32_t n = pass.n_rows();
  const ActivationForms forms = forms_for({output.weight}, pass.matmul.arithmetic);
  team.for_each(n, [&](int64_t row) {
    space.mixed.round(pass.vector(), row, layer.config.mixed_width(), forms);
  });
  show_inputs(team, pass, {&output.weight}, space.mixed.row(0), space.mixed.stride(), n);
  const quant::MatmulJob job[] = {multiply(pass, output.weight, space.mixed, n, space.branch)};
  quant::grouped_matmul(team, pass.matmul, job);
  if (output.bias)
    team.for_each(n, [&](int64_t row) {
      pass.vector().add(pass.branch(row), output.bias, pass.config.d_model);
    });
}

void mix(quant::Team& team, const LayerStep& layer) noexcept {
  switch (layer.config.mixer) {
    case Mixer::gqa:
      attend_gqa(team, layer);
      break;
    case Mixer::mla:
      attend_mla(team, layer);
      break;
    case Mixer::short_convolution:
      mix_short_convolution(team, layer);
      break;
    case Mixer::gated_delta_net:
      mix_gated_delta_net(team, layer);
      break;
  }
  if (layer.config.carries_state() && ends_unwanted_rows(layer)) {
    const ActivationBuffer& mixed = layer.pass.space.mixed;
    team.for_each(layer.pass.n_rows(), [&](int64_t row) {
      look_at_row(layer, row, mixed.row(row), layer.config.mixed_width());
    });
    keep_wanted_rows(team, layer, mixed);
  }
}

ActivationForms mixer_forms(const LayerStep& layer) noexcept {
  switch (layer.config.mixer) {
    case Mixer::gqa:
      return gqa_input_forms(layer);
    case Mixer::mla:
      return mla_input_forms(layer);
    case Mixer::short_convolution:
      return short_convolution_input_forms(layer);
    case Mixer::gated_delta_net:
      return gated_delta_net_input_forms(layer);
  }
  return 0;
}

// Behind a barrier: what one thread has done, all have.
void end_part(const quant::Team& team, const Pass& pass, PassPart part) noexcept {
  if (pass.observer && team.thread() == 0) pass.observer->part_done(part);
}

// What mixers have made of the rows goes through the rest of the layer.
void finish_layer(quant::Team& team, const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  project_mixed(team, layer, layer.weights.attn_output);
  end_part(team, pass, PassPart::attention);
  add_branch(team, pass, pass.faults.mixer);

  if (layer.weights.source_q.weight.data) {
    norm_rows(team, pass, layer.weights.source_norm, source_query_forms(layer));
    end_part(team, pass, PassPart::rest);
    attend_source(team, layer);
    project_mixed(team, layer, layer.weights.source_output);
    end_part(team, pass, PassPart::attention);
    add_branch(team, pass, pass.faults.mixer);
  }

  norm_rows(team, pass, layer.weights.ffn_norm, expert_input_forms(layer));
  end_part(team, pass, PassPart::rest);
  choose_experts(team, layer);
  end_part(team, pass, PassPart::router);
  run_experts(team, layer);
  end_part(team, pass, PassPart::experts);
  add_branch(team, pass, pass.faults.layer);
}

void run_layer(quant::Team& team, Pass& pass, int index) noexcept {
  const LayerStep layer = layer_of(pass, index);
  norm_rows(team, pass, layer.weights.attn_norm, mixer_forms(layer));
  end_part(team, pass, PassPart::rest);
  mix(team, layer);
  if (pass.n_rows() > 0) {
    finish_layer(team, layer);
  } else {
    end_part(team, pass, PassPart::attention);
  }
  team.once([&] { look_at(layer); });
}

// A token's row of the residual stream, and its rotation.
void embed_row(Pass& pass, int64_t row) noexcept {
  const quant::Matrix& table = pass.weights.token_embd;
  const int32_t d_model = pass.config.d_model;
  const auto token = static_cast<size_t>(pass.rows[static_cast<size_t>(row)].token);
  float* out = pass.stream(row);
  pass.vector().dequantize(
      table.format, table.data + quant::row_bytes(table.format, d_model) * token, d_model, out);
  if (pass.config.embedding_scale != 1)
    pass.vector().scale(out, pass.config.embedding_scale, d_model);
  if (!pass.vector().all_finite(out, d_model)) pass.faults.embedding.raise(row);
  const int64_t at = row * pass.rope.n_pairs();
  pass.rope.at(pass.position_of(row), pass.space.cos + at, pass.space.sin + at);
}

void embed(quant::Team& team, Pass& pass) noexcept {
  team.for_each(pass.n_rows(), [&](int64_t row) { embed_row(pass, row); });
  team.once([&] {
    pass.status = pass.faults.of_embedding(pass);
    pass.stops = !pass.status.ok();
  });
}

// Final norm and head, for rows [first, first + n) of those that want logits.
void read_out(quant::Team& team, Pass& pass, int32_t first, int32_t n) noexcept {
  const int32_t* const wanted = pass.space.logit_rows + first;
  const Linear& head = pass.weights.output;
  const ActivationForms forms = forms_for({head.weight}, pass.matmul.arithmetic);
  team.for_each(n, [&](int64_t i) {
    norm_row(pass, pass.stream(wanted[i]), pass.weights.output_norm, i, forms);
  });
  show_inputs(team, pass, {&head.weight}, pass.space.input.row(0), pass.space.input.stride(), n);
  const quant::MatmulJob job[] = {
      multiply(pass, head.weight, pass.space.input, n, pass.space.logits)};
  quant::grouped_matmul(team, pass.matmul, job);

  const int32_t n_vocab = pass.config.n_vocab;
  team.for_each(n, [&](int64_t i) {
    float* logits = pass.space.logits + i * n_vocab;
    if (head.bias) pass.vector().add(logits, head.bias, n_vocab);
    if (pass.config.logit_divisor != 1)
      pass.vector().scale(logits, 1 / pass.config.logit_divisor, n_vocab);
    if (!pass.vector().all_finite(logits, n_vocab))
      pass.faults.logits.raise(wanted[i]);
    else if (pass.reader)
      pass.reader->read(team.thread(), first + static_cast<int32_t>(i), logits);
  });
  team.once([&] {
    pass.status = pass.faults.of_logits(pass);
    pass.stops = !pass.status.ok();
  });
}

void read_out(quant::Team& team, Pass& pass) noexcept {
  if (pass.n_logits == 0) return;
  end_part(team, pass, PassPart::rest);
  for (int32_t first = 0; first < pass.n_logits && !pass.stops; first += pass.n_logits_at_once)
    read_out(team, pass, first, std::min(pass.n_logits_at_once, pass.n_logits - first));
  end_part(team, pass, PassPart::head);
}

// An encoder's final norm; what the decoder will see of it goes into the sequences.
void hand_over(quant::Team& team, Pass& pass) noexcept {
  norm_rows(team, pass, pass.weights.encoder_norm, source_forms(pass));
  const ActivationBuffer& out = pass.space.input;
  team.for_each(pass.n_rows(), [&](int64_t row) {
    if (!pass.vector().all_finite(out.row(row), pass.config.d_model)) pass.faults.source.raise(row);
  });
  team.once([&] {
    pass.status = pass.faults.of_source(pass);
    pass.stops = !pass.status.ok();
    if (!pass.stops && pass.observer)
      pass.observer->source_output(out.row(0), out.stride(), pass.n_rows(), pass.config.d_model);
  });
  if (!pass.stops) store_source(team, pass);
}

void run_stack(quant::Team& team, Pass& pass, LayerRange layers) noexcept {
  embed(team, pass);
  for (int i = layers.first; i < layers.end && !pass.stops; ++i) run_layer(team, pass, i);
}

}  // namespace

void run_decoder(quant::Team& team, Pass& pass) noexcept {
  run_stack(team, pass, pass.config.decoder());
  if (!pass.stops) read_out(team, pass);
}

void run_encoder(quant::Team& team, Pass& pass) noexcept {
  run_stack(team, pass, pass.config.encoder());
  if (!pass.stops) hand_over(team, pass);
}

}  // namespace larder::runtime
