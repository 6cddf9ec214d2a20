#include "runtime/model/carrying_reader.h"

#include <string>

namespace larder::runtime {
namespace {

int32_t read_count(ArchKeys& keys, const char* key, IntegerRange range) {
  return static_cast<int32_t>(keys.integer(key, range));
}

void read_short_convolution(ArchKeys& keys, int32_t d_model, LayerConfig& layer) {
  layer.n_taps = read_count(keys, "shortconv.l_cache", {2, kMaxTaps});
  layer.n_channels = d_model;
}

void read_delta_net(ArchKeys& keys, const ArchRow& row, LayerConfig& layer) {
  layer.n_taps = read_count(keys, "ssm.conv_kernel", {2, kMaxTaps});
  layer.d_key = read_count(keys, "ssm.state_size", {1, kMaxHeadDim});
  layer.n_key_heads = read_count(keys, "ssm.group_count", {1, kMaxHeads});
  layer.n_heads = read_count(keys, "ssm.time_step_rank", {1, kMaxHeads});
  const int32_t width = read_count(keys, "ssm.inner_size", {1, kMaxWidth});
  layer.key_sharing = row.key_sharing;
  if (layer.n_heads % layer.n_key_heads != 0)
    keys.refuse("ssm.group_count", "does not divide ssm.time_step_rank");
  if (width % layer.n_heads != 0)
    keys.refuse("ssm.inner_size", "is no multiple of ssm.time_step_rank");
  if (int64_t{layer.d_key} * layer.n_key_heads > kMaxWidth)
    keys.refuse("ssm.state_size", "makes keys of more than " + std::to_string(kMaxWidth));
  if (!keys.status().ok()) return;
  layer.d_value = width / layer.n_heads;
  layer.n_channels = 2 * layer.delta_key_width() + width;
}

// With a period the last of so many layers attends.
std::vector<bool> read_flags(ArchKeys& keys, const ArchRow& row,
                             const std::vector<int32_t>& n_kv_heads) {
  const size_t n_blocks = n_kv_heads.size();
  if (row.attention_period > 0 && keys.has("attention.recurrent_layers"))
    return keys.flags_per_layer("attention.recurrent_layers", static_cast<int32_t>(n_blocks));
  int64_t period = 0;
  if (row.attention_period > 0)
    period = keys.integer("full_attention_interval", {1, kMaxLayers}, row.attention_period);
  std::vector<bool> flags(n_blocks);
  for (size_t i = 0; i < n_blocks; ++i)
    flags[i] = n_kv_heads[i] == 0 || (period > 0 && (static_cast<int64_t>(i) + 1) % period != 0);
  return flags;
}

}  // namespace

CarryingLayers::CarryingLayers(ArchKeys& keys, const ArchRow& row,
                               const std::vector<int32_t>& n_kv_heads, int32_t d_model)
    : is_carrying(n_kv_heads.size()) {
  if (row.carrying_mixer == Mixer::gqa) return;
  is_carrying = read_flags(keys, row, n_kv_heads);
  for (size_t i = 0; i < n_kv_heads.size(); ++i)
    if (!is_carrying[i] && n_kv_heads[i] == 0)
      keys.refuse("attention.head_count_kv", "is 0 in a layer that attends");
  layer.mixer = row.carrying_mixer;
  if (row.carrying_mixer == Mixer::short_convolution)
    read_short_convolution(keys, d_model, layer);
  else
    read_delta_net(keys, row, layer);
}

}  // namespace larder::runtime
