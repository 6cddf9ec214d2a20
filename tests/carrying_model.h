// Whole models of a few kilobytes whose first layer carries a state and whose second attends.
#pragma once

#include "tests/tiny_model.h"

namespace larder::tests {

GgufBuilder tiny_short_convolution();

enum class Rates { fused, split };
GgufBuilder tiny_delta_net(Rates rates);

}  // namespace larder::tests
