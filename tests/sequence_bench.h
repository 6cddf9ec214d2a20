// A model, a pass over it, and sequences of tokens that their positions decide.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/forward/forward.h"
#include "runtime/session/sequence_state.h"
#include "tests/tiny_model.h"

namespace larder::tests {

inline int32_t token_at(int32_t position) { return position * 31 % 251; }

struct SequenceBench {
  SequenceBench(const GgufBuilder& file, int32_t max_rows) : opened(open_model(file)) {
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    auto made =
        runtime::Forward::create(*opened.model, {.max_rows = max_rows, .max_logits = max_rows});
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    forward = std::move(*made);
  }
  const runtime::ModelConfig& config() const { return (*opened.model)->config(); }
  // The next n positions.
  Status run(runtime::SequenceState& on, int32_t n, runtime::ForwardObserver* observer = nullptr,
             const std::atomic<bool>* cancel = nullptr) {
    std::vector<runtime::TokenRow> rows;
    for (int32_t i = on.n_positions(); i < on.n_positions() + n; ++i)
      rows.push_back({token_at(i), i, 0, true});
    runtime::SequenceState* sequences[] = {&on};
    return forward->run(rows, sequences, cancel, observer);
  }

  OpenedModel opened;
  std::unique_ptr<runtime::Forward> forward;
};

// Cancels a pass behind its first layer.
class Canceller final : public runtime::ForwardObserver {
 public:
  void layer_output(int, const float*, int, int) override { cancel = true; }
  std::atomic<bool> cancel = false;
};

}  // namespace larder::tests
