#include "apps/logits_sampler.h"

#include <algorithm>
#include <span>

namespace larder::apps {

LogitsSampler::LogitsSampler(const runtime::SamplerOptions& options, int32_t n_vocab, int n_threads)
    : n_vocab_(n_vocab), chairs_(static_cast<size_t>(n_threads)) {
  for (Chair& chair : chairs_) chair.sampler = std::make_unique<runtime::Sampler>(options, n_vocab);
}

void LogitsSampler::read(int thread, int32_t, const float* logits) noexcept {
  Chair& chair = chairs_[static_cast<size_t>(thread)];
  const Stopwatch watch;
  // A pass hands over finite logits only: there is a token to choose.
  (void)chair.sampler->sample(std::span(logits, static_cast<size_t>(n_vocab_)), {});
  chair.seconds += watch.seconds();
}

void LogitsSampler::end_pass() noexcept {
  double longest = 0;
  for (Chair& chair : chairs_) {
    longest = std::max(longest, chair.seconds);
    chair.seconds = 0;
  }
  seconds_ += longest;
}

}  // namespace larder::apps
