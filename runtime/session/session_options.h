// What options of a session mean for a model on this machine.
#pragma once

#include <string>

#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/forward/forward.h"
#include "runtime/model/model.h"
#include "runtime/session/session.h"

namespace larder::runtime {

// What is left at 0 or empty is filled in; the rest is checked. A batch is no longer than the
// context. Error: `invalid_argument` naming the option.
Result<SessionOptions> fill_in(SessionOptions options, const Model& model);
// Of this name, or the best. Error: `invalid_argument` telling the names.
Result<const quant::KernelSet*> choose_kernels(const std::string& name);
// n_asked, never more than the machine lets us use; 0: one a core.
int choose_threads(int n_asked);
// All but max_logits and experts. REQUIRES: of fill_in().
ForwardOptions forward_options(const SessionOptions& options, const quant::KernelSet* kernels);
// Error: `out_of_memory`.
Status check_threads(int n_threads);

}  // namespace larder::runtime
