#include <algorithm>

#include "runtime/forward/moe_block.h"
#include "runtime/forward/router.h"

namespace larder::runtime {
namespace {

// Router weights are multiplied in tiles, so that one row's many experts are shared by threads.
// Results do not depend on the tiling (kernel_set.h).
constexpr int32_t kTileRows = 16, kTileExperts = 32;

struct RouterTile {
  int32_t first_row, n_rows, first_expert, n_experts;
};

RouterTile tile_of(int64_t item, int32_t n_rows, int32_t n_experts) noexcept {
  const int64_t per_row = (n_experts + kTileExperts - 1) / kTileExperts;
  const auto row = static_cast<int32_t>(item / per_row) * kTileRows;
  const auto expert = static_cast<int32_t>(item % per_row) * kTileExperts;
  return {row, std::min(kTileRows, n_rows - row), expert,
          std::min(kTileExperts, n_experts - expert)};
}

void multiply_tile(const LayerStep& layer, const RouterTile& tile) noexcept {
  const Pass& pass = layer.pass;
  const int32_t n_experts = layer.config.router.n_experts;
  const int32_t d_model = pass.config.d_model;
  const quant::WeightRows weights = {
      reinterpret_cast<const uint8_t*>(layer.weights.router + int64_t{tile.first_expert} * d_model),
      sizeof(float) * static_cast<size_t>(d_model), tile.n_experts, d_model};
  const quant::OutputRows out = {
      pass.space.router_logits + int64_t{tile.first_row} * n_experts + tile.first_expert,
      static_cast<size_t>(n_experts)};
  pass.vector().gemm_f32(
      weights, pass.space.input.rows(quant::ActivationFormat::f32, tile.first_row, tile.n_rows),
      out);
}

void route_row(const LayerStep& layer, int thread, int64_t row) noexcept {
  Pass& pass = layer.pass;
  const RouterConfig& config = layer.config.router;
  float* logits = pass.space.router_logits + row * config.n_experts;
  if (layer.weights.router_bias)
    pass.vector().add(logits, layer.weights.router_bias, config.n_experts);
  if (!pass.vector().all_finite(logits, config.n_experts)) pass.faults.router.raise(row);
  route(config, pass.vector(),
        {logits, layer.weights.selection_bias,
         pass.space.router_scratch + int64_t{2} * thread * config.n_experts,
         pass.space.experts + row * config.n_active, pass.space.weights + row * config.n_active});
}

// An observer's routes must name experts that exist.
void show_routes(const LayerStep& layer) noexcept {
  Pass& pass = layer.pass;
  if (!pass.observer || pass.faults.router.is_raised()) return;
  const RouterConfig& router = layer.config.router;
  pass.observer->routes(layer.index, pass.space.experts, pass.space.weights, pass.n_rows(),
                        router.n_active);
  const int64_t n_chosen = int64_t{pass.n_rows()} * router.n_active;
  for (int64_t i = 0; i < n_chosen; ++i) {
    if (pass.space.experts[i] >= 0 && pass.space.experts[i] < router.n_experts) continue;
    pass.space.experts[i] = 0;
    pass.status =
        Status(Cause::invalid_argument, "the observer chose an expert that does not exist");
  }
}

}  // namespace

void choose_experts(quant::Team& team, const LayerStep& layer) noexcept {
  if (!layer.config.is_moe()) return;
  const int32_t n_rows = layer.pass.n_rows(), n_experts = layer.config.router.n_experts;
  const int64_t n_tiles = int64_t{(n_rows + kTileRows - 1) / kTileRows} *
                          ((n_experts + kTileExperts - 1) / kTileExperts);
  team.for_each(n_tiles,
                [&](int64_t item) { multiply_tile(layer, tile_of(item, n_rows, n_experts)); });
  team.for_each(n_rows, [&](int64_t row) { route_row(layer, team.thread(), row); });
  if (layer.pass.observer) team.once([&] { show_routes(layer); });
}

}  // namespace larder::runtime
