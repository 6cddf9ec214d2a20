// Attention of a decoder to what its encoder made of the source. The source's keys and values are
// computed once, by the pass that encodes it, and stay with the sequence.
#pragma once

#include "quant/parallel.h"
#include "runtime/forward/pass.h"

namespace larder::runtime {

// The forms in which a layer's queries, and all layers' keys and values, read their normed input.
ActivationForms source_query_forms(const LayerStep& layer) noexcept;
ActivationForms source_forms(const Pass& pass) noexcept;

// space.input -> space.mixed. REQUIRES: every row's sequence holds a source.
void attend_source(quant::Team& team, const LayerStep& layer) noexcept;

// space.input, the encoder's answer to whole sources -> the keys and values of every decoder layer
// in the sequences of the rows. Stops where one is not finite.
void store_source(quant::Team& team, Pass& pass) noexcept;

}  // namespace larder::runtime
