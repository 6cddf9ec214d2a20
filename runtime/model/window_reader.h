// Which layers of a model see a window of the sequence alone, and which window.
#pragma once

#include <vector>

#include "runtime/model/arch_keys.h"
#include "runtime/model/arch_table.h"

namespace larder::runtime {

struct LayerWindows {
  Window window;
  std::vector<bool> is_windowed;  // [n_blocks]
};

LayerWindows read_windows(ArchKeys& keys, const ArchRow& row, int32_t n_blocks);

}  // namespace larder::runtime
