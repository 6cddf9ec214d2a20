#include "runtime/session/pass_reader.h"

#include <span>
#include <utility>

namespace larder::runtime {

PassReader::PassReader(int32_t n_vocab, int32_t max_rows, int n_threads) : n_vocab_(n_vocab) {
  rows_.reserve(static_cast<size_t>(max_rows));
  while (std::cmp_less(samplers_.size(), n_threads))
    samplers_.push_back(std::make_unique<Sampler>(SamplerOptions(), n_vocab));
}

void PassReader::read(int thread, int32_t index, const float* data) noexcept {
  const Row& row = rows_[static_cast<size_t>(index)];
  const std::span<const float> logits(data, static_cast<size_t>(n_vocab_));
  const LogitsSummary summary = summarize(logits);
  Sampler& sampler = *samplers_[static_cast<size_t>(thread)];
  for (HeldItem* item : row.branch->items)
    if (item->wants(row.position)) item->read(row.position, logits, summary, sampler);
}

}  // namespace larder::runtime
