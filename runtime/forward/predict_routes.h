// What the next layer will choose, as its router says of this layer's rows: early enough to read
// experts ahead, too early to be always right. No result depends on it.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// Tells the store, where it wants to know. Called by every thread of the team, between the layer's
// routing and the last use of its branch: `branch` and `router_logits` are overwritten.
void predict_routes(quant::Team& team, const LayerStep& layer) noexcept;

}  // namespace larder::runtime
