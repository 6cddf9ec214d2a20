// The types by which a file is as good as its size allows.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "quant/format.h"
#include "runtime/budget/sensitivity.h"

namespace larder::runtime {

struct BudgetPlan {
  std::map<std::string, quant::Format, std::less<>> formats;  // of the tensors that are quantised
  uint64_t file_bytes = 0;      // at most; of one file, headers and padding included
  double divergence = 0;        // predicted, nats
  double least_divergence = 0;  // predicted of no plan within the budget less than that
  bool is_optimal = false;
};

// name_bytes: of the names that quantising will add to the metadata, the importance file's and its
// text's. Errors: `budget` where the smallest types are too large, with the least size; `missing`
// for a tensor of which the sensitivities tell nothing.
Result<BudgetPlan> plan_budget(const formats::GgufFile& file, const Sensitivities& sensitivities,
                               uint64_t budget_bytes, uint64_t name_bytes);

// What the sensitivities predict for a file as it is, in nats; -1 where they do not tell of one of
// its types.
double predicted_divergence(const formats::GgufFile& file, const Sensitivities& sensitivities);

}  // namespace larder::runtime
