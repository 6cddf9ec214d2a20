// Reads which layers carry a state from position to position, and what such a layer is.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model/arch_keys.h"
#include "runtime/model/arch_table.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

struct CarryingLayers {
  CarryingLayers(ArchKeys& keys, const ArchRow& row, const std::vector<int32_t>& n_kv_heads,
                 int32_t d_model);

  std::vector<bool> is_carrying;  // [n_blocks]
  LayerConfig layer;              // one of them, as far as its mixer goes
};

}  // namespace larder::runtime
