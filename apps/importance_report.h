// What an importance file covers, and which experts its text hardly used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/template/value.h"
#include "runtime/importance/importance.h"
#include "runtime/model/model.h"

namespace larder::apps {

// Rows from which on the mean square of an input is known well enough: of normally distributed
// activations to sqrt(2 / n), 25 %.
inline constexpr double kFewRows = 32;

// A tensor of routed experts.
struct ExpertCoverage {
  std::string tensor;
  int64_t n_experts = 0;
  std::vector<int64_t> unseen, scarce;     // experts: met by no row, by less than kFewRows
  double least = 0, median = 0, most = 0;  // rows
};

class ImportanceReport {
 public:
  // Experts of a layer are counted once: by the tensor that ends each.
  ImportanceReport(const runtime::Model& model, const runtime::Importance& importance);

  // One sentence each.
  std::vector<std::string> warnings() const;
  std::string to_text() const;
  formats::DataValue to_data() const;

 private:
  int64_t n_chunks_, chunk_tokens_, n_tensors_;
  std::vector<ExpertCoverage> experts_;
};

}  // namespace larder::apps
