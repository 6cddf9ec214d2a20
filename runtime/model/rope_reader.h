// Reads how a model's queries and keys rotate.
#pragma once

#include <cstdint>

#include "runtime/model/arch_keys.h"
#include "runtime/model/arch_table.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

// has_longrope: the file has LongRoPE's factors.
RopeConfig read_rope(ArchKeys& keys, const ArchRow& row, int32_t d_key, int32_t context_length,
                     bool has_longrope);

// What attention's scale is multiplied with. Source: DeepSeek-V2's mscale_all_dim, of which the key
// holds a tenth; both queries and keys would be multiplied with its growth.
double read_yarn_sharpening(ArchKeys& keys, const ArchRow& row, const RopeConfig& rope);

}  // namespace larder::runtime
