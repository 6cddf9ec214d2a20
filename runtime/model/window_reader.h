// Which layers of a model see a window of the sequence alone, and which window.
#pragma once

#include <vector>

#include "runtime/model/arch_keys.h"
#include "runtime/model/arch_table.h"

namespace larder::runtime {

struct LayerWindows {
  Window window;
  std::vector<bool> is_windowed;  // [n_blocks]
  bool has_any() const noexcept { return window.kind != WindowKind::none; }
};

LayerWindows read_windows(ArchKeys& keys, const ArchRow& row, int32_t n_blocks);

}  // namespace larder::runtime
