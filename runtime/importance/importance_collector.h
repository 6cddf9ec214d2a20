// Sums up what a model's weights multiply, pass by pass.
//
// Each square is added in double, rows in the order in which sequences hold them, so that neither
// threads nor batches change a sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/status.h"
#include "runtime/forward/forward.h"
#include "runtime/importance/importance.h"
#include "runtime/model/model.h"

namespace larder::runtime {

class ImportanceCollector final : public ForwardObserver, private WeightInputReader {
 public:
  // For sessions whose model() this is. Error: `out_of_memory`.
  static Result<ImportanceCollector> create(const Model& model);
  // The sums' share of a process's memory.
  static Result<uint64_t> bytes_for(const Model& model);

  WeightInputReader* weight_inputs() noexcept override { return this; }

  // What was seen so far; datasets and chunks are the caller's to fill in.
  const Importance& importance() const noexcept { return importance_; }
  Importance& importance() noexcept { return importance_; }

 private:
  ImportanceCollector() = default;
  void read(const WeightInput& input) noexcept override;

  // Of one matrix; null where another matrix counts for both.
  struct Sums {
    double* sums = nullptr;  // [n_cols]
    double* count = nullptr;
  };
  Importance importance_;  // never changes shape behind create()
  std::unordered_map<const quant::Matrix*, std::vector<Sums>> sums_;
};

}  // namespace larder::runtime
