// Samples what passes compute, on the threads that compute it, as an engine does.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "apps/timings.h"
#include "runtime/forward/forward.h"
#include "runtime/session/sampler.h"

namespace larder::apps {

class LogitsSampler : public runtime::LogitsReader {
 public:
  LogitsSampler(const runtime::SamplerOptions& options, int32_t n_vocab, int n_threads);
  // Without a history: what penalties would cost is no part of it.
  void read(int thread, int32_t index, const float* logits) noexcept override;
  void end_pass() noexcept;
  // Of all passes: the thread that took longest in each.
  double seconds() const noexcept { return seconds_; }
  void reset() noexcept { seconds_ = 0; }

 private:
  struct alignas(64) Chair {  // each thread writes to a cache line of its own
    std::unique_ptr<runtime::Sampler> sampler;
    double seconds = 0;  // in this pass
  };
  int32_t n_vocab_;
  std::vector<Chair> chairs_;  // [n_threads]
  double seconds_ = 0;
};

}  // namespace larder::apps
