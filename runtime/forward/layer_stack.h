// Token rows through all layers: embedding, layer after layer, final norm and head.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// Run by every thread of the team. Afterwards pass.status says how it went, and space.logits holds
// the logits of the rows that wanted them. Sequences hold new keys and values behind their ends;
// the caller moves the ends.
void run_layers(quant::Team& team, Pass& pass) noexcept;

}  // namespace larder::runtime
