#include "apps/perplexity_figures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <utility>

namespace larder::apps {
namespace {

using formats::DataValue;

// Less mass than float32 log-probabilities of the listed tokens can tell.
constexpr double kLeastMass = 1e-9;

struct Quantile {
  const char* name;
  double share;
};
constexpr Quantile kQuantiles[] = {{"median", 0.5}, {"q90", 0.9}, {"q99", 0.99}, {"max", 1}};

// Between neighbours, linearly, as NumPy's default. REQUIRES: sorted, not empty.
double quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

DataValue to_data(const Estimate& estimate) {
  return DataValue::make_dict({{"value", estimate.value}, {"standard_error", estimate.error}});
}

struct ComparisonFigures {
  Estimate divergence, same_top, surprise_change;
  double quantiles[std::size(kQuantiles)] = {};
  Estimate base_perplexity;
};

ComparisonFigures figures_of(const Comparison& comparison) {
  ComparisonFigures figures;
  Mean mean;
  for (const double d : comparison.divergences) mean.add(d);
  figures.divergence = mean.estimate();
  figures.same_top = comparison.same_top.estimate();
  figures.surprise_change = comparison.surprise_change.estimate();
  figures.base_perplexity = perplexity(comparison.base_surprise);
  std::vector<double> sorted = comparison.divergences;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < std::size(kQuantiles) && !sorted.empty(); ++i)
    figures.quantiles[i] = quantile(sorted, kQuantiles[i].share);
  return figures;
}

DataValue comparison_data(const Comparison& comparison) {
  const ComparisonFigures figures = figures_of(comparison);
  DataValue divergence = to_data(figures.divergence);
  for (size_t i = 0; i < std::size(kQuantiles); ++i)
    divergence.dict.emplace_back(kQuantiles[i].name, figures.quantiles[i]);
  return DataValue::make_dict({{"divergence", std::move(divergence)},
                               {"same_top", to_data(figures.same_top)},
                               {"base_perplexity", to_data(figures.base_perplexity)},
                               {"log_perplexity_change", to_data(figures.surprise_change)},
                               {"perplexity_ratio", std::exp(figures.surprise_change.value)}});
}

// Of what perplexity() tells, in bits, and for text of so many bytes.
double bits_per_byte(const TextFigures& text) {
  return text.surprise.sum() / std::numbers::ln2 / static_cast<double>(text.n_bytes);
}

Estimate macro_perplexity(const std::vector<TextFigures>& texts) {
  Mean mean;
  for (const TextFigures& text : texts)
    if (text.surprise.count() > 0) mean.add(perplexity(text.surprise).value);
  return mean.estimate();
}

std::string line_of(const char* name, const Estimate& estimate, int decimals) {
  char line[160];
  std::snprintf(line, sizeof line, "%-24s %12.*f +/- %.*f\n", name, decimals, estimate.value,
                decimals, estimate.error);
  return line;
}

std::string comparison_text(const Comparison& comparison) {
  const ComparisonFigures figures = figures_of(comparison);
  std::string text(1, '\n');
  text += line_of("KL divergence, mean", figures.divergence, 6);
  for (size_t i = 0; i < std::size(kQuantiles); ++i) {
    char line[80];
    std::snprintf(line, sizeof line, "%-24s %12.6f\n", kQuantiles[i].name, figures.quantiles[i]);
    text += line;
  }
  Estimate same = figures.same_top;
  same.value *= 100;
  same.error *= 100;
  text += line_of("same top token, %", same, 3);
  text += line_of("perplexity of the base", figures.base_perplexity, 4);
  text += line_of("ln(perplexity ratio)", figures.surprise_change, 6);
  return text;
}

}  // namespace

void Mean::add(double x) noexcept {
  ++n_;
  const double distance = x - mean_;
  mean_ += distance / static_cast<double>(n_);
  squares_ += distance * (x - mean_);
}

Estimate Mean::estimate() const noexcept {
  if (n_ < 2) return {mean_, 0};
  const auto n = static_cast<double>(n_);
  return {mean_, std::sqrt(squares_ / (n - 1) / n)};
}

Estimate perplexity(const Mean& surprise) noexcept {
  const Estimate mean = surprise.estimate();
  const double value = std::exp(mean.value);
  return {value, value * mean.error};
}

double divergence(const BaseToken& base, const runtime::PredictedToken& predicted) noexcept {
  double sum = 0, mass = 0;
  for (const runtime::TokenLogprob& top : base.top) {
    const double logprob = static_cast<double>(predicted.logits[static_cast<size_t>(top.token)]) -
                           predicted.summary.log_sum_exp;
    sum += std::exp(top.logprob) * (top.logprob - logprob);
    mass += std::exp(logprob);
  }
  const auto rest = static_cast<double>(base.rest_mass);
  if (rest > kLeastMass) sum += rest * std::log(rest / std::max(1 - mass, kLeastMass));
  return sum;
}

void Comparison::add(double base_logprob, double divergence, double logprob, bool has_same_top) {
  divergences.push_back(divergence);
  base_surprise.add(-base_logprob);
  surprise_change.add(base_logprob - logprob);
  same_top.add(has_same_top ? 1 : 0);
}

DataValue to_data(const PerplexityReport& report) {
  DataValue texts = DataValue::make_list();
  for (const TextFigures& text : report.texts) {
    const Estimate own = perplexity(text.surprise);
    DataValue entry =
        DataValue::make_dict({{"file", text.name},
                              {"n_bytes", static_cast<int64_t>(text.n_bytes)},
                              {"n_tokens", static_cast<int64_t>(text.surprise.count())},
                              {"logprob", -text.surprise.sum()},
                              {"perplexity", own.value},
                              {"standard_error", own.error}});
    if (report.mode == "rolling" && text.n_bytes > 0)
      entry.dict.emplace_back("bits_per_byte", bits_per_byte(text));
    texts.list.push_back(std::move(entry));
  }
  const Estimate all = perplexity(report.surprise);
  DataValue data =
      DataValue::make_dict({{"mode", report.mode},
                            {"model", report.model},
                            {"n_ctx", report.n_ctx},
                            {"n_tokens", static_cast<int64_t>(report.surprise.count())},
                            {"perplexity", all.value},
                            {"standard_error", all.error},
                            {"macro_perplexity", macro_perplexity(report.texts).value},
                            {"files", std::move(texts)}});
  if (report.comparison != nullptr)
    data.dict.emplace_back("kl", comparison_data(*report.comparison));
  return data;
}

std::string to_text(const PerplexityReport& report) {
  std::string text =
      "mode " + report.mode + ", " + std::to_string(report.n_ctx) + " tokens of context\n";
  for (const TextFigures& one : report.texts) {
    if (report.texts.size() < 2) break;
    char tokens[48];
    std::snprintf(tokens, sizeof tokens, " (%zu tokens)\n", one.surprise.count());
    std::string line = line_of(one.name.c_str(), perplexity(one.surprise), 4);
    line.pop_back();
    text += line + tokens;
  }
  text += line_of("perplexity", perplexity(report.surprise), 4);
  if (report.texts.size() > 1)
    text += line_of("mean over files", macro_perplexity(report.texts), 4);
  if (report.comparison != nullptr) text += comparison_text(*report.comparison);
  return text;
}

}  // namespace larder::apps
