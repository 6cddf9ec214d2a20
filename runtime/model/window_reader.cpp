#include "runtime/model/window_reader.h"

#include <optional>

namespace larder::runtime {
namespace {

constexpr const char* kWidthKey = "attention.sliding_window";
constexpr const char* kPatternKey = "attention.sliding_window_pattern";

// A flag a layer, or the period of layers of which the last sees everything. Source of the two
// forms, and of what the periods 0 and 1 mean: llama.cpp, 2026-08.
std::vector<bool> read_pattern(ArchKeys& keys, int32_t period, int32_t n_blocks) {
  if (keys.is_array(kPatternKey)) return keys.flags_per_layer(kPatternKey, n_blocks);
  const auto n = static_cast<int32_t>(keys.integer(kPatternKey, {0, kMaxLayers}, period));
  std::vector<bool> flags;
  for (int32_t i = 0; i < n_blocks; ++i) flags.push_back(n == 0 || i % n < n - 1);
  return flags;
}

}  // namespace

LayerWindows read_windows(ArchKeys& keys, const ArchRow& row, int32_t n_blocks) {
  LayerWindows windows{{}, std::vector<bool>(static_cast<size_t>(n_blocks))};
  if (row.window == WindowKind::none) return windows;
  const std::optional<int64_t> fallback =
      row.window_width > 0 ? std::optional<int64_t>(row.window_width) : std::nullopt;
  const auto width = static_cast<int32_t>(keys.integer(kWidthKey, {0, kMaxContext}, fallback));
  if (width == 0) return windows;
  windows.window = {row.window, width};
  windows.is_windowed = read_pattern(keys, row.window_period, n_blocks);
  return windows;
}

}  // namespace larder::runtime
