// Token rows through a stack of layers: embedding, layer after layer, and what comes behind.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// Both are run by every thread of the team. Afterwards pass.status says how it went.

// The final norm and the head come behind: space.logits holds the logits of the rows that wanted
// them. Sequences hold new keys and values behind their ends; the caller moves the ends.
void run_decoder(quant::Team& team, Pass& pass) noexcept;

// Rows are whole sources. Sequences hold what their decoder will see of them; how long they are,
// the caller says. After a failure they hold what they held.
void run_encoder(quant::Team& team, Pass& pass) noexcept;

}  // namespace larder::runtime
