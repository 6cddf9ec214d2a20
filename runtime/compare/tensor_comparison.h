// Two files of one model, tensor by tensor: what changing types cost each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::runtime {

struct TensorSide {
  const formats::TensorType* type = nullptr;
  double bits_per_weight = 0;
  int64_t n_not_finite = 0;  // NaN and infinite weights; -1: of a type that cannot be read
};

struct TensorDifference {
  std::string name;
  uint64_t n_weights = 0;
  TensorSide base, other;
  // sqrt(sum of (other - base)^2 / sum of base^2) over weights that are finite in both; -1 where
  // that cannot be told.
  double relative_error = -1;
};

// Whether they are the same model in other types: architecture, tokenizer, and every tensor's name
// and shape. Errors: `architecture`, `vocabulary`, `missing`, `shape`, naming what differs.
Status check_same_model(const formats::GgufFile& base, const formats::GgufFile& other);

// In the base's order. Sums have one order for any number of threads. `progress` is asked between
// pieces; false cancels. REQUIRES: check_same_model() is ok.
using CompareProgress = std::function<bool(uint64_t n_done, uint64_t n_weights)>;
Result<std::vector<TensorDifference>> compare_tensors(const formats::GgufFile& base,
                                                      const formats::GgufFile& other, int n_threads,
                                                      const CompareProgress& progress = {});

}  // namespace larder::runtime
