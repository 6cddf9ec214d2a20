// Chooses the next token: a chain of samplers with llama.cpp's names, order and defaults:
// penalties -> top-k -> typical -> top-p -> min-p -> temperature -> draw.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/text/tokenizer.h"
#include "runtime/session/random_stream.h"

namespace larder::runtime {

struct SamplerOptions {
  uint64_t seed = 0;            // same seed, same options, same logits: same tokens
  float temperature = 0.8f;     // 0: greedy (lowest id on ties)
  int32_t top_k = 40;           // 0: off
  float top_p = 0.95f;          // 1: off
  float min_p = 0.05f;          // 0: off
  float typical_p = 1.0f;       // 1: off
  float repeat_penalty = 1.0f;  // 1: off
  int32_t repeat_last_n = 64;   // -1: the whole context, 0: off
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
};

// The file's general.sampling.* over the defaults above. Out-of-range values are `hyper_parameter`.
Result<SamplerOptions> sampler_options_from(const formats::GgufFile& file);
// Ranges of every option; error `invalid_argument` naming it.
Status check(const SamplerOptions& options);

struct Sampled {
  formats::TokenId token = formats::kNoToken;
  float logprob = 0;  // natural log, under the model's own distribution (before the chain)
};

class Sampler {
 public:
  // REQUIRES: check(options).ok(); n_vocab > 0. Allocates bytes_for(n_vocab) once.
  Sampler(const SamplerOptions& options, int32_t n_vocab);
  ~Sampler();
  // history: tokens so far, for the penalties. Logits that are not finite are never chosen; error
  // `numeric` if none is finite. One random number a call, none when greedy.
  // Cost: one pass over n_vocab, one exp each; no full sort.
  // REQUIRES: logits.size() == n_vocab; history within [0, n_vocab).
  Result<Sampled> sample(std::span<const float> logits, std::span<const formats::TokenId> history);
  // The same for one who knows log_sum_exp() of these logits (softmax.h), without an exp of each.
  // REQUIRES: all logits are finite.
  Result<Sampled> sample(std::span<const float> logits, std::span<const formats::TokenId> history,
                         double log_sum_exp);
  static size_t bytes_for(int32_t n_vocab) noexcept;
  const SamplerOptions& options() const noexcept;
  void reseed(uint64_t seed) noexcept;
  // Goes on as another sampler of the same vocabulary, which drew from `random`; so that many can
  // take turns in the memory of one. REQUIRES: check(options).ok().
  void continue_as(const SamplerOptions& options, const RandomStream& random) noexcept;
  const RandomStream& random() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Natural log of softmax(logits)[token] in double, summed in ascending id order; logits that are
// not finite count as absent. -inf if logits[token] is not finite.
double log_probability(std::span<const float> logits, formats::TokenId token) noexcept;

}  // namespace larder::runtime
