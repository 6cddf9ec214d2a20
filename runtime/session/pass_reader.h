// Hands the logits of a pass to the items that want them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "formats/status.h"
#include "runtime/forward/forward.h"
#include "runtime/session/engine_branch.h"
#include "runtime/session/sampler.h"

namespace larder::runtime {

class PassReader : public LogitsReader {
 public:
  // Has a sampler for each thread. Throws std::bad_alloc.
  PassReader(int32_t n_vocab, int32_t max_rows, int n_threads);

  // Before a pass, and then for each of its rows that wants logits, in order.
  void clear() noexcept { rows_.clear(); }
  void expect(Branch& branch, int32_t position) { rows_.push_back({&branch, position}); }

  void read(int thread, int32_t index, const float* logits) noexcept override;

 private:
  struct Row {
    Branch* branch;
    int32_t position;
  };

  int32_t n_vocab_;
  std::vector<Row> rows_;
  std::vector<std::unique_ptr<Sampler>> samplers_;  // [n_threads]
};

}  // namespace larder::runtime
