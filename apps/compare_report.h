// What larder compare has found, for people and programs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/perplexity_figures.h"
#include "formats/template/value.h"
#include "runtime/compare/tensor_comparison.h"

namespace larder::apps {

struct CompareReport {
  std::string base, model;  // files
  std::vector<runtime::TensorDifference> tensors;
  const PerplexityReport* text = nullptr;  // null: no text was read
  // What the file says that its types were predicted to lose, in nats.
  std::optional<double> predicted_divergence;
};

formats::DataValue to_data(const CompareReport& report);
std::string to_text(const CompareReport& report);

}  // namespace larder::apps
