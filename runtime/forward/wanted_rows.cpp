#include "runtime/forward/wanted_rows.h"

#include <algorithm>
#include <utility>

namespace larder::runtime {
namespace {

void move_row(float* rows, int64_t width, int64_t from, int64_t to) noexcept {
  std::copy_n(rows + from * width, width, rows + to * width);
}

}  // namespace

bool ends_unwanted_rows(const LayerStep& layer) noexcept {
  const Pass& pass = layer.pass;
  return layer.index + 1 == pass.config.decoder().end && pass.n_logits < pass.n_rows() &&
         !(pass.observer && pass.observer->sees_every_row());
}

void look_at_row(const LayerStep& layer, int64_t row, const float* made, int64_t n) noexcept {
  if (!layer.pass.vector().all_finite(made, n)) layer.pass.faults.mixer.raise(row);
}

void keep_wanted_rows(quant::Team& team, const LayerStep& layer,
                      const ActivationBuffer& input) noexcept {
  Pass& pass = layer.pass;
  Workspace& space = pass.space;
  const int64_t d_model = pass.config.d_model, n_pairs = pass.rope.n_pairs();
  team.once([&] {
    if (pass.status.ok()) pass.status = pass.faults.of_layer(pass, layer.index);
    for (int32_t to = 0; to < pass.n_logits; ++to) {  // ascending: nothing is overwritten unread
      const int32_t from = std::exchange(space.logit_rows[to], to);
      space.wanted_rows[to] = pass.rows[static_cast<size_t>(from)];
      if (from == to) continue;
      move_row(space.stream, d_model, from, to);
      move_row(space.cos, n_pairs, from, to);
      move_row(space.sin, n_pairs, from, to);
      input.move_row(from, to);
    }
    pass.rows = {space.wanted_rows, static_cast<size_t>(pass.n_logits)};
  });
}

}  // namespace larder::runtime
