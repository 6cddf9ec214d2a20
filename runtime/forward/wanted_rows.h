// Behind the keys and values of the decoder's last layer only rows that want logits matter: the
// others end there. Of a prompt that is all rows but one, so a layer costs it little more than its
// keys and values.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// Whether other rows end in this layer: nobody looks at every row, and not all want logits.
bool ends_unwanted_rows(const LayerStep& layer) noexcept;

// Looks at what a row has made, [n], as long as it is there: nobody would notice later.
void look_at_row(const LayerStep& layer, int64_t row, const float* made, int64_t n) noexcept;

// The rows that want logits become all rows of the pass, in their order; the residual stream, the
// rotations and `input` move along. There may be none. Afterwards pass.status tells of what
// look_at_row() saw. REQUIRES: ends_unwanted_rows(layer).
void keep_wanted_rows(quant::Team& team, const LayerStep& layer,
                      const ActivationBuffer& input) noexcept;

}  // namespace larder::runtime
