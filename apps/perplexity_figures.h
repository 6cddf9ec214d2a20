// How well a model expects texts, and how far it is from another: means with their standard errors.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "apps/base_logits.h"
#include "formats/template/value.h"
#include "runtime/session/engine.h"

namespace larder::apps {

struct Estimate {
  double value = 0, error = 0;
};

// Numbers that are added in one order; their mean, and its standard error.
class Mean {
 public:
  void add(double x) noexcept;
  size_t count() const noexcept { return n_; }
  double sum() const noexcept { return mean_ * static_cast<double>(n_); }
  Estimate estimate() const noexcept;

 private:
  size_t n_ = 0;
  double mean_ = 0, squares_ = 0;  // squares: of distances from the mean (Welford)
};

// exp of the mean surprise; by the first order, its error.
Estimate perplexity(const Mean& surprise) noexcept;

// Kullback-Leibler divergence of what a model expects from what a base expected, over the base's
// listed tokens and all others as one: never more than over all tokens.
double divergence(const BaseToken& base, const runtime::PredictedToken& predicted) noexcept;

struct Comparison {
  std::vector<double> divergences;
  Mean surprise_change, same_top, base_surprise;
  void add(double base_logprob, double divergence, double logprob, bool has_same_top);
};

struct TextFigures {
  std::string name;
  size_t n_bytes = 0;
  Mean surprise;  // -log p of every scored token
};

struct PerplexityReport {
  std::string mode, model;
  int32_t n_ctx = 0;
  std::vector<TextFigures> texts;
  Mean surprise;  // of all texts
  const Comparison* comparison = nullptr;
};

formats::DataValue to_data(const PerplexityReport& report);
std::string to_text(const PerplexityReport& report);

}  // namespace larder::apps
